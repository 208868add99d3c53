//! The way from HAProxy to one registered target, as connections that can be cut.
//!
//! A HAProxy that was replaced by one with a newer configuration keeps its connections and listens to nobody, so it
//! cannot be told to end those of a target whose time is up. The relay can.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Servers;
use crate::background::{Task, accepted, locked};
use crate::tools::{Failure, Result};

/// Dropped, it ends its connections.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    _task: Task,
}

impl Relay {
    /// Opens a port that leads to whoever serves this port of the instance at the time.
    pub(super) async fn start(servers: &Servers, instance: &str, port: u16) -> Result<Self> {
        let failed = || Failure::during("opening a port for a target");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let task = Task::spawn(accept(listener, Arc::clone(servers), (instance.to_owned(), port)));
        Ok(Self { address, _task: task })
    }
}

async fn accept(listener: TcpListener, servers: Servers, server: (String, u16)) {
    let mut connections = JoinSet::new();
    loop {
        let mut near = accepted(&listener).await;
        while connections.try_join_next().is_some() {}
        let address = locked(&servers).get(&server).copied();
        connections.spawn(async move {
            let Some(address) = address else { return };
            let Ok(mut far) = TcpStream::connect(address).await else { return };
            let _ = near.set_nodelay(true).and(far.set_nodelay(true));
            // However it ends, it ends on both sides.
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
