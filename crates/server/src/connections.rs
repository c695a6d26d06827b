//! How many connections there are, and from where; and bytes counted, so that a silent one can be told.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::ServerLimits;
use crate::metrics::Metrics;

/// The connections that are open.
pub(crate) struct Connections {
    limits: ServerLimits,
    metrics: Arc<Metrics>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    from: HashMap<IpAddr, usize>,
}

/// The right to be connected; dropping it gives it back.
pub(crate) struct Admission {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    pub(crate) fn new(limits: ServerLimits, metrics: Arc<Metrics>) -> Arc<Connections> {
        Arc::new(Connections { limits, metrics, open: Mutex::default() })
    }

    /// Admits one more connection, or not.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admission> {
        // An IPv4 address that arrives in an IPv6 one is still the same machine.
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = open.from.get(&address).copied().unwrap_or(0);
        let is_crowded = !address.is_loopback() && from_there >= self.limits.connections_per_ip_max;
        if open.all >= self.limits.connections_max || is_crowded {
            self.metrics.connections_refused.inc();
            return None;
        }
        open.all += 1;
        *open.from.entry(address).or_default() += 1;
        self.metrics.connections.inc();
        Some(Admission { connections: Arc::clone(self), address })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(count) = open.from.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.from.remove(&self.address);
            }
        }
        self.connections.metrics.connections.dec();
    }
}

/// A connection that counts what it reads.
pub(crate) struct Counted<I> {
    io: I,
    read: Arc<AtomicUsize>,
}

impl<I> Counted<I> {
    /// Wraps a connection; the counter shows the bytes read so far.
    pub(crate) fn new(io: I) -> (Counted<I>, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        (Counted { io, read: Arc::clone(&read) }, read)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        self.read.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_loopback_has_all() {
        let limits = ServerLimits { connections_max: 10, connections_per_ip_max: 3, ..ServerLimits::default() };
        let connections = Connections::new(limits, Arc::new(Metrics::new(None)));
        let admit = |address: &str| connections.admit(address.parse().unwrap());
        let mut held: Vec<_> = (0..3).map(|_| admit("192.0.2.1").unwrap()).collect();
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("::ffff:192.0.2.1").is_none());
        held.pop();
        held.push(admit("::ffff:192.0.2.1").unwrap());
        held.extend((0..7).map(|_| admit("127.0.0.1").unwrap()));
        assert!(admit("127.0.0.1").is_none(), "ten in all");
        drop(held);
        assert!(connections.open.lock().unwrap().from.is_empty());
        assert!(admit("192.0.2.1").is_some());
    }
}
