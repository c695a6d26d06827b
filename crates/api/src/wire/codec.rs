//! How messages get into buffers.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};

use super::bounds::Bounds;
use super::status;

/// The usual codec, but that room for a whole message is made at once, as a page of half a megabyte would otherwise be
/// copied again and again while its buffer doubles, and that a request is looked at before it is decoded.
#[derive(Clone, Copy, Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Codec(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = RoomyEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> RoomyEncoder<T> {
        RoomyEncoder(PhantomData)
    }

    fn decoder(&mut self) -> BoundedDecoder<U> {
        let decoder = tonic::codec::Codec::decoder(&mut ProstCodec::<T, U>::default());
        BoundedDecoder { bounds: Bounds::of::<U>(), decoder }
    }
}

/// Decodes what does not hold too much.
pub struct BoundedDecoder<U> {
    bounds: Bounds,
    decoder: ProstDecoder<U>,
}

impl<U> std::fmt::Debug for BoundedDecoder<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundedDecoder").finish_non_exhaustive()
    }
}

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = buf.chunk();
        debug_assert_eq!(message.len(), buf.remaining(), "a message lies in one piece");
        self.bounds.check(message).map_err(|error| status::invalid(&error))?;
        self.decoder.decode(buf)
    }
}

/// Encodes into a buffer that has room for all of it.
#[derive(Clone, Copy, Debug)]
pub struct RoomyEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for RoomyEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.reserve(message.encoded_len());
        message.encode_raw(buf);
        Ok(())
    }
}
