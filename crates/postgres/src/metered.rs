//! A connection's socket that is only given so many bytes.
//!
//! A value may have a gigabyte, and the driver hands a row out when all of it has come. Who bounds an answer must count what
//! comes in, not what was handed out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_postgres::config::{Config, Host};

/// What may still come in. Without bounds until it is told.
#[derive(Debug)]
pub(crate) struct Meter(AtomicU64);

impl Meter {
    pub(crate) fn new() -> Arc<Meter> {
        Arc::new(Meter(AtomicU64::new(u64::MAX)))
    }

    /// From now on, so many bytes; with the next one the connection ends.
    pub(crate) fn allow(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Release);
    }

    /// Whether more came.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let left = self.0.load(Ordering::Acquire).saturating_sub(bytes);
        self.0.store(left, Ordering::Release);
        if left == 0 { Err(io::Error::other("more came than was allowed")) } else { Ok(()) }
    }
}

/// A socket to a database server.
#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A socket with a [`Meter`].
#[derive(Debug)]
pub(crate) struct Metered {
    socket: Socket,
    meter: Arc<Meter>,
}

impl Metered {
    /// Connects to the one host of a configuration.
    pub(crate) async fn dial(config: &Config, meter: Arc<Meter>) -> io::Result<Metered> {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let socket = match config.get_hosts().first() {
            #[cfg(unix)]
            Some(Host::Unix(directory)) => {
                Socket::Unix(UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await?)
            }
            Some(Host::Tcp(host)) => Socket::Tcp(TcpStream::connect((host.as_str(), port)).await?),
            None => Socket::Tcp(TcpStream::connect(("localhost", port)).await?),
        };
        if let Socket::Tcp(stream) = &socket {
            stream.set_nodelay(true)?;
        }
        Ok(Metered { socket, meter })
    }
}

/// The name in the server's certificate.
pub(crate) fn host_name(config: &Config) -> &str {
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host,
        _ => "localhost",
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(self.meter.take((buffer.filled().len() - before) as u64)),
            other => other,
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
