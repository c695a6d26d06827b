//! What `cargo x codegen` makes of `crates/api/proto`. Only this file is written by hand.

/// Package `pacioli.v1`: its messages, clients and servers.
pub mod v1 {
    include!("pacioli.v1.rs");
}

/// The descriptors of every message and service, for reflection: a serialized `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptor.bin");
