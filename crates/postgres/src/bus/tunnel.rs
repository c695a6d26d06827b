//! TLS for the replication session: its client speaks to a socket of ours, and from there it goes through the same TLS as
//! every other connection, with the same authorities.

use std::fs::{self, DirBuilder};
use std::io::{Error, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

/// What a client says to PostgreSQL that wants TLS: the length of this, and a number that is no version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A way to one host for one session. Dropping it cuts the connection.
pub(super) struct Tunnel {
    directory: Directory,
    carrier: JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// A directory for nobody but us. Whoever can reach the socket in it could use the session.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // An empty directory that stays behind among the temporary ones harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Tunnel {
    /// The port that the socket is named after.
    pub(super) const PORT: u16 = 5432;

    /// Connects to a host, and makes the socket from which one session is carried there.
    ///
    /// # Errors
    /// The host cannot be reached, speaks no TLS, or its certificate is not one to trust; or there can be no socket.
    pub(super) async fn open(tls: &MakeRustlsConnect, host: &str, port: u16) -> Result<Tunnel> {
        let mut plain = TcpStream::connect((host, port)).await?;
        plain.set_nodelay(true)?;
        plain.write_all(&SSL_REQUEST).await?;
        if plain.read_u8().await? != b'S' {
            return Err(Error::other("the server does not speak TLS"));
        }
        let connector = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls.clone(), host).map_err(Error::other)?;
        let mut far = connector.connect(plain).await.map_err(Error::other)?;

        let directory = Directory(std::env::temp_dir().join(format!("pacioli-{}", Uuid::new_v4().simple())));
        DirBuilder::new().mode(0o700).create(&directory.0)?;
        let listener = UnixListener::bind(directory.0.join(format!(".s.PGSQL.{}", Tunnel::PORT)))?;
        let carrier = tokio::spawn(async move {
            let Ok((mut near, _)) = listener.accept().await else { return };
            drop(listener);
            if let Err(error) = tokio::io::copy_bidirectional(&mut near, &mut far).await {
                tracing::debug!(%error, "the connection of a replication session ended");
            }
        });
        Ok(Tunnel { directory, carrier })
    }

    /// Where the socket is.
    pub(super) fn directory(&self) -> String {
        self.directory.0.to_string_lossy().into_owned()
    }
}
