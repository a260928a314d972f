//! A TCP proxy before the broker that can delay, cut and swallow.
//!
//! The broker advertises its own address, so clients would go past the proxy after their first
//! question; the suite's broker therefore has a second listener that advertises the proxy.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

/// What the proxy does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Hands them on.
    Pass = 0,
    /// Hands them on a little later.
    Delay = 1,
    /// Swallows what the broker answers.
    SwallowAnswers = 2,
    /// Swallows what clients ask.
    SwallowQuestions = 3,
    /// Takes no connections, and cuts those there are.
    Cut = 4,
}

fn mode_of(code: u8) -> Mode {
    match code {
        1 => Mode::Delay,
        2 => Mode::SwallowAnswers,
        3 => Mode::SwallowQuestions,
        4 => Mode::Cut,
        _ => Mode::Pass,
    }
}

struct Shared {
    mode: AtomicU8,
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A proxy on loopback.
pub struct Proxy {
    /// Where clients connect.
    pub address: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy before `target`, listening on `listen`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(listen: &str, target: String) -> Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            mode: AtomicU8::new(Mode::Pass as u8),
            over: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || accept(&listener, &target, &accepting));
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Changes what happens from now on.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::Relaxed);
        // Connections that lost bytes are of no use afterwards.
        if matches!(mode, Mode::Cut | Mode::Pass) {
            self.shared.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.shared.cut();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        mode_of(self.mode.load(Ordering::Relaxed))
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, target: &str, shared: &Arc<Shared>) {
    while !shared.over.load(Ordering::Relaxed) {
        let Ok((client, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        if shared.mode() == Mode::Cut {
            let _ = client.shutdown(Shutdown::Both);
            continue;
        }
        let Ok(broker) = TcpStream::connect(target) else { continue };
        let ways = [
            (client.try_clone(), broker.try_clone(), Mode::SwallowQuestions),
            (broker.try_clone(), client.try_clone(), Mode::SwallowAnswers),
        ];
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).extend([client, broker]);
        for (from, to, swallowed) in ways {
            let (Ok(from), Ok(to)) = (from, to) else { continue };
            let _ = from.set_nonblocking(false);
            let shared = Arc::clone(shared);
            // Ends with its connection, which `cut` ends.
            std::thread::spawn(move || carry(from, to, swallowed, &shared));
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, swallowed: Mode, shared: &Shared) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let mode = shared.mode();
        if mode == swallowed {
            continue;
        }
        if mode == Mode::Delay {
            std::thread::sleep(Duration::from_millis(30));
        }
        let Some(read) = bytes.get(..count) else { break };
        if to.write_all(read).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
