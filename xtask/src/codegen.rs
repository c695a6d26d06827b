//! `cargo x codegen`: crates/api/proto to crates/api/src/generated.
//!
//! The generated code is committed, so that a build needs Rust and a C compiler only. The compiler and the generator
//! sit behind the feature `codegen`; without it, xtask runs itself again with the feature on.

use anyhow::Result;

/// Regenerates the code, or with `check` compares it with what is committed.
#[cfg(not(feature = "codegen"))]
pub(crate) fn run(check: bool) -> Result<()> {
    let mut command = crate::run::cargo();
    command.args(["run", "--quiet", "--package", "xtask", "--features", "codegen", "--", "codegen"]);
    if check {
        command.arg("--check");
    }
    crate::run::check(&mut command, "code generation stopped; the reason is above")
}

/// Regenerates the code, or with `check` compares it with what is committed.
#[cfg(feature = "codegen")]
pub(crate) fn run(check: bool) -> Result<()> {
    generate::run(check)
}

#[cfg(feature = "codegen")]
mod generate {
    use std::{
        collections::BTreeMap,
        ffi::OsString,
        fs,
        path::{Path, PathBuf},
    };

    use anyhow::{Context, Result, bail};
    use prost::Message;

    const PROTO_DIR: &str = "crates/api/proto";
    const GENERATED_DIR: &str = "crates/api/src/generated";
    /// What gRPC reflection serves.
    const DESCRIPTOR_FILE: &str = "descriptor.bin";

    /// Protobuf types that Rust code supplies instead of the generator: a name that starts with `.`, and its Rust path.
    /// `google.protobuf.*` needs no entry, it maps to `::prost_types`.
    const EXTERN_PATHS: &[(&str, &str)] = &[(".pacioli.v1.EventBatch", "crate::wire::EventBatch")];

    /// What puts messages into buffers and takes them out.
    const CODEC_PATH: &str = "crate::wire::Codec";

    pub(super) fn run(check: bool) -> Result<()> {
        let root = crate::run::root();
        let generated = generate(&root.join(PROTO_DIR))?;
        let committed_dir = root.join(GENERATED_DIR);
        let committed = read_dir(&committed_dir)?;
        if check {
            return compare(&generated, &committed);
        }
        write(&generated, &committed, &committed_dir)
    }

    /// Writes what differs, and removes what the protos no longer give.
    fn write(
        generated: &BTreeMap<OsString, Vec<u8>>,
        committed: &BTreeMap<OsString, Vec<u8>>,
        dir: &Path,
    ) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
        for name in committed.keys().filter(|name| !generated.contains_key(*name)) {
            fs::remove_file(dir.join(name))?;
            println!("removed {GENERATED_DIR}/{}", name.display());
        }
        for (name, content) in generated {
            let same = committed.get(name) == Some(content);
            if !same {
                fs::write(dir.join(name), content)?;
            }
            println!("{} {GENERATED_DIR}/{}", if same { "unchanged" } else { "wrote" }, name.display());
        }
        Ok(())
    }

    /// File name to content, for every file the protos give.
    pub(super) fn generate(proto_dir: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
        let mut protos = Vec::new();
        find_protos(proto_dir, &mut protos)?;
        if protos.is_empty() {
            bail!(
                "there is no .proto file below {PROTO_DIR}, so there is nothing to generate from. The first one goes to {PROTO_DIR}/pacioli/v1/"
            );
        }
        protos.sort();

        let mut compiler = protox::Compiler::new([proto_dir]).context("could not open the proto directory")?;
        // Comments become doc comments of the generated code, so the generator sees them; reflection does not.
        compiler.include_source_info(true).include_imports(true);
        // protox names the file, line and column in its long form only.
        compiler.open_files(&protos).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let for_generator = compiler.file_descriptor_set();
        let for_reflection = compiler.include_source_info(false).file_descriptor_set();

        let out_dir = tempfile::tempdir().context("could not create a temporary directory")?;
        let mut builder = tonic_prost_build::configure()
            .build_client(true)
            .build_server(true)
            .codec_path(CODEC_PATH)
            // No `connect` functions: crates/client owns the channel, and crates/api stays free of tonic's transport.
            .build_transport(false)
            .bytes(".")
            .emit_rerun_if_changed(false)
            .out_dir(out_dir.path());
        for (proto_path, rust_path) in EXTERN_PATHS {
            builder = builder.extern_path(proto_path, rust_path);
        }
        builder.compile_fds(for_generator).context("could not generate Rust from the protos")?;

        let mut files = read_dir(out_dir.path())?;
        files.insert(DESCRIPTOR_FILE.into(), for_reflection.encode_to_vec());
        Ok(files)
    }

    fn compare(generated: &BTreeMap<OsString, Vec<u8>>, committed: &BTreeMap<OsString, Vec<u8>>) -> Result<()> {
        let mut names: Vec<_> = generated.keys().chain(committed.keys()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| generated.get(*name) != committed.get(*name));
        if names.is_empty() {
            println!("{GENERATED_DIR} is what the protos give ({} files)", generated.len());
            return Ok(());
        }
        for name in &names {
            println!("{GENERATED_DIR}/{}: differs from what the protos give", name.display());
        }
        bail!("the committed code is not what the protos give. Run `cargo x codegen` and commit the result");
    }

    fn find_protos(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        if !dir.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                find_protos(&path, found)?;
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path);
            }
        }
        Ok(())
    }

    /// The files of one directory; none when it does not exist. A hand-written `mod.rs` is not generated code.
    fn read_dir(dir: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
        let mut files = BTreeMap::new();
        if dir.is_dir() {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                if entry.path().is_file() && entry.file_name() != "mod.rs" {
                    files.insert(entry.file_name(), fs::read(entry.path())?);
                }
            }
        }
        Ok(files)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn protos_give_a_client_a_server_bytes_and_a_descriptor() {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("shop/v1")).unwrap();
            let proto = "syntax = \"proto3\";\npackage shop.v1;\nimport \"google/protobuf/timestamp.proto\";\n\
                message Order { bytes body = 1; google.protobuf.Timestamp at = 2; }\n\
                // Takes orders.\nservice Shop { rpc Buy(Order) returns (Order); }\n";
            fs::write(dir.path().join("shop/v1/shop.proto"), proto).unwrap();

            let files = generate(dir.path()).unwrap();
            let code = String::from_utf8(files[&OsString::from("shop.v1.rs")].clone()).unwrap();
            for part in
                ["ShopClient", "ShopServer", "body: ::prost::bytes::Bytes", "::prost_types::Timestamp", "Takes orders"]
            {
                assert!(code.contains(part), "{part} is missing from:\n{code}");
            }
            assert!(!files[&OsString::from(DESCRIPTOR_FILE)].is_empty());

            // Writing makes the committed code equal, and removes a file that no proto gives any more.
            let committed = tempfile::tempdir().unwrap();
            fs::write(committed.path().join("gone.v1.rs"), "").unwrap();
            fs::write(committed.path().join("mod.rs"), "").unwrap();
            assert!(compare(&files, &read_dir(committed.path()).unwrap()).is_err());
            write(&files, &read_dir(committed.path()).unwrap(), committed.path()).unwrap();
            assert!(compare(&files, &read_dir(committed.path()).unwrap()).is_ok());
            assert!(committed.path().join("mod.rs").exists());
        }

        #[test]
        fn a_missing_proto_directory_is_named() {
            let error = generate(Path::new("does/not/exist")).unwrap_err().to_string();
            assert!(error.contains(PROTO_DIR), "{error}");
        }
    }
}
