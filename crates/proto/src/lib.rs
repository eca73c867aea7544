//! The protocol of Callboard: messages, clients and servers, generated from `proto/` by `cargo xtask generate`.

/// Package `callboard.v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/callboard.v1.rs");
}

/// The descriptors of every file, encoded, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");

/// The largest payload, in bytes of content: 1 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// The largest message, in bytes, that either side sends: 3 MiB. grpcio, grpc-go and tonic refuse more than 4 MiB by default.
pub const MAX_FRAME_BYTES: usize = 3 << 20;

/// The largest message, in bytes, that either side takes: 4 MiB.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The domain of every `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "callboard.dev";
