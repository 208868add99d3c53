//! The proxy between the provider and the local AWS: it logs every call, and delays or breaks those a test names.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::OptionFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, Version, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::background::{Task, accepted, locked, runtime};
use crate::calls::{self, Call};
use crate::faults::{Fault, Rule};
use crate::tools::{Failure, Result};

/// A running proxy, for one account of the local AWS. It stops when dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    _listener: Task,
}

struct State {
    aws: SocketAddr,
    account: HeaderValue,
    epoch: Instant,
    latency: Mutex<Duration>,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    calls: Vec<Call>,
    next_sequence: usize,
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection closed")
    }
}

impl std::error::Error for Closed {}

type Answer = std::result::Result<Response<Bytes>, Closed>;

impl Proxy {
    /// Starts a proxy on a free port, before the local AWS at `aws`, for the account with this number.
    ///
    /// # Errors
    ///
    /// When the system gives no port or the account number is not one.
    pub(crate) fn start(aws: SocketAddr, account: &str) -> Result<Self> {
        let account = HeaderValue::from_str(account).map_err(Failure::during("reading the account number"))?;
        let listener = runtime()
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .map_err(Failure::during("opening a port for the proxy"))?;
        let address = listener.local_addr().map_err(Failure::during("opening a port for the proxy"))?;
        let state = Arc::new(State {
            aws,
            account,
            epoch: Instant::now(),
            latency: Mutex::default(),
            rules: Mutex::default(),
            log: Mutex::default(),
        });
        let listener = Task::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, _listener: listener })
    }

    /// The endpoint to give to an AWS client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes every call from now on take this much longer.
    pub fn set_latency(&self, latency: Duration) {
        *locked(&self.state.latency) = latency;
    }

    /// Adds a fault. Of several that strike a call, the one added first happens.
    pub fn inject(&self, rule: Rule) {
        locked(&self.state.rules).push(rule);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        locked(&self.state.rules).clear();
    }

    /// The calls so far, in the order of their arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        locked(&self.state.log).calls.clone()
    }

    /// The calls so far that can have changed something.
    #[must_use]
    pub fn mutating_calls(&self) -> Vec<Call> {
        self.calls().into_iter().filter(Call::is_mutating).collect()
    }

    /// How often each action was called.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in self.calls() {
            *counts.entry(call.action).or_insert(0) += 1;
        }
        counts
    }

    /// Forgets the calls so far; the numbering goes on.
    pub fn clear_calls(&self) {
        locked(&self.state.log).calls.clear();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let stream = accepted(&listener).await;
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            // Connections end in errors when a fault closes them or the provider is killed: both are meant to happen.
            let _ = stream.set_nodelay(true);
            let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Closed> {
    // A task of its own: AWS finishes a call whose client has gone away, and so does the proxy.
    let answer = tokio::spawn(async move { state.handle(request).await }).await.unwrap_or(Err(Closed));
    answer.map(|response| response.map(Full::new))
}

impl State {
    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
        let mut call = self.begin(&parts, &body);
        let rule = self.rule_for(&call);
        let latency = *locked(&self.latency);
        tokio::time::sleep(latency).await;
        // Held until the act is over.
        let turn = rule.as_ref().and_then(|rule| rule.turn.as_deref());
        let _turn = OptionFuture::from(turn.map(|turn| turn.lock())).await;
        let answer = match rule.as_ref().map(|rule| &rule.fault) {
            None | Some(Fault::None) => self.forward(parts, body, &mut call).await,
            Some(Fault::Fail(status, code)) => Ok(failure(&parts, *status, code)),
            Some(Fault::Reset) => Err(Closed),
            Some(Fault::LoseResponse) => self.forward(parts, body, &mut call).await.and(Err(Closed)),
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(*delay).await;
                self.forward(parts, body, &mut call).await
            }
        };
        self.finish(&mut call, &answer);
        if let Some(act) = rule.as_ref().and_then(|rule| rule.act.clone()) {
            // What a test does may block: it sends signals and waits for processes.
            let _ = tokio::task::spawn_blocking(move || act(&call)).await;
        }
        answer
    }

    fn begin(&self, request: &Parts, body: &[u8]) -> Call {
        let mut log = locked(&self.log);
        let call = Call {
            sequence: log.next_sequence,
            service: calls::service(request),
            action: calls::action(request, body),
            started: self.epoch.elapsed(),
            duration: None,
            reached_aws: false,
            status: None,
            error: None,
        };
        log.next_sequence += 1;
        log.calls.push(call.clone());
        call
    }

    fn rule_for(&self, call: &Call) -> Option<Rule> {
        let mut striking = None;
        // Every rule counts every call, whether or not an earlier one strikes it.
        for rule in locked(&self.rules).iter_mut() {
            if rule.strikes(call) && striking.is_none() {
                striking = Some(rule.clone());
            }
        }
        striking
    }

    async fn forward(&self, mut request: Parts, body: Bytes, call: &mut Call) -> Answer {
        request.headers.insert("x-moto-account-id", self.account.clone());
        request.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let stream = TcpStream::connect(self.aws).await.map_err(|_| Closed)?;
        stream.set_nodelay(true).map_err(|_| Closed)?;
        let (mut sender, connection) =
            client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| Closed)?;
        tokio::spawn(connection);
        let request = Request::from_parts(request, Full::new(body));
        call.reached_aws = true;
        let (mut head, body) = sender.send_request(request).await.map_err(|_| Closed)?.into_parts();
        let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
        // The connection to AWS ends here; the one to the client has its own framing and goes on.
        head.version = Version::HTTP_11;
        head.headers.remove(CONNECTION);
        head.headers.remove(TRANSFER_ENCODING);
        Ok(Response::from_parts(head, body))
    }

    /// Completes the log entry.
    fn finish(&self, call: &mut Call, answer: &Answer) {
        call.duration = Some(self.epoch.elapsed().saturating_sub(call.started));
        if let Ok(response) = answer {
            call.status = Some(response.status().as_u16());
            call.error = if response.status().is_success() { None } else { calls::error_code(response.body()) };
        }
        if let Some(entry) = locked(&self.log).calls.iter_mut().find(|entry| entry.sequence == call.sequence) {
            entry.clone_from(call);
        }
    }
}

fn failure(request: &Parts, status: u16, code: &str) -> Response<Bytes> {
    let (content_type, body) = calls::error_body(request, code);
    let response = Response::builder().status(status).header(CONTENT_TYPE, content_type);
    response.body(Bytes::from(body)).expect("a status that exists")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::background::eventually;

    /// A server that answers every call with an empty success, and counts them.
    fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&mut stream, "DescribeVpcs");
                assert!(request.to_lowercase().contains("x-moto-account-id: 123456789012"), "{request}");
                counted.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ok>").unwrap();
            }
        });
        (address, count)
    }

    fn read(stream: &mut net::TcpStream, until: &str) -> String {
        let (mut text, mut buffer) = (String::new(), [0; 1024]);
        while !text.contains(until) {
            match stream.read(&mut buffer).unwrap_or(0) {
                0 => break,
                count => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            }
        }
        text
    }

    /// Sends `DescribeVpcs`, and returns the answer: nothing when the connection was closed instead.
    fn describe(proxy: &Proxy) -> String {
        let mut stream = net::TcpStream::connect(proxy.address).unwrap();
        let body = "Action=DescribeVpcs";
        write!(stream, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        read(&mut stream, ">")
    }

    #[test]
    fn a_fault_happens_to_the_calls_it_names_and_the_log_tells_what_aws_got() {
        let (aws, arrived) = upstream();
        let proxy = Proxy::start(aws, "123456789012").unwrap();
        proxy.inject(Rule::on("DescribeVpcs", Fault::THROTTLING).after(1).times(2));
        proxy.inject(Rule::on_any(Fault::Reset).after(3));
        proxy.inject(Rule::on_any(Fault::LoseResponse).after(4));
        proxy.inject(Rule::on("CreateVpc", Fault::Reset));

        let answers: Vec<String> = (0..6).map(|_| describe(&proxy)).collect();

        let passed = |answer: &str| answer.ends_with("<ok>");
        assert!(passed(&answers[0]) && passed(&answers[5]), "{answers:?}");
        assert!(answers[1].contains(" 400 ") && answers[2].contains(" 400 "), "{answers:?}");
        assert!(answers[3].is_empty() && answers[4].is_empty(), "{answers:?}");
        let reached: Vec<bool> = proxy.calls().iter().map(|call| call.reached_aws).collect();
        assert_eq!(reached, [true, false, false, false, true, true]);
        assert_eq!(arrived.load(Ordering::SeqCst), 3);
        assert_eq!(proxy.calls()[1].error.as_deref(), Some("Throttling"));
        assert_eq!(proxy.counts()["DescribeVpcs"], 6);
    }

    #[test]
    fn a_test_acts_before_the_client_gets_its_answer() {
        let (aws, _) = upstream();
        let proxy = Proxy::start(aws, "123456789012").unwrap();
        let acted = Arc::new(AtomicUsize::new(0));
        let inside = Arc::clone(&acted);
        proxy.inject(Rule::on_any(Fault::None).then(move |call| {
            assert!(call.reached_aws);
            inside.fetch_add(1, Ordering::SeqCst);
        }));
        describe(&proxy);
        assert_eq!(acted.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn calls_that_go_one_at_a_time_wait_until_the_test_has_acted() {
        let (aws, arrived) = upstream();
        let proxy = Proxy::start(aws, "123456789012").unwrap();
        let (state, before_the_act) = (Arc::downgrade(&proxy.state), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&before_the_act);
        let act = move |_: &Call| {
            let state = state.upgrade().unwrap();
            eventually("all calls are made", async || locked(&state.log).calls.len() == 4);
            locked(&seen).push(arrived.load(Ordering::SeqCst));
        };
        proxy.inject(Rule::on_any(Fault::None).times(4).one_at_a_time().then(act));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| describe(&proxy));
            }
        });
        assert_eq!(*locked(&before_the_act), [1, 2, 3, 4]);
    }
}
