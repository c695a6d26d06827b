//! Many appends in flight on one call.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream;
use pacioli_api::generated::v1::{self, append_stream_response};
use pacioli_api::wire::{append, status};
use pacioli_core::{AppendError, AppendOutcome, AppendRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::{Code, Status};

use crate::retry::{Backoff, Deadline};
use crate::store::{Shared, Trail};

type Answer = Result<AppendOutcome, AppendError>;

/// Appends many, pipelined: they reach the store in the order in which they were submitted, and are answered in it.
///
/// Where the connection breaks, everything that was not answered is sent again in order, with the same ids and keys.
/// Appends that were submitted are sent even where the appender or the [`Submitted`] is dropped.
#[derive(Clone, Debug)]
pub struct Appender {
    submissions: mpsc::UnboundedSender<InFlight>,
    room: Arc<Semaphore>,
}

/// An append on its way: the future of its outcome.
#[derive(Debug)]
pub struct Submitted(oneshot::Receiver<Answer>);

impl Future for Submitted {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped() -> AppendError {
    AppendError::Unknown { reason: "the appender stopped before there was an answer".to_owned() }
}

impl Appender {
    pub(crate) fn start(shared: Arc<Shared>, in_flight: usize) -> Appender {
        let (submissions, submitted) = mpsc::unbounded_channel();
        let driver = Driver {
            backoff: Backoff::new(shared.config.backoff_max),
            deadline: Deadline::after(shared.config.deadline),
            unanswered: VecDeque::new(),
            next_correlation: 0,
            submitted,
            shared,
        };
        tokio::spawn(driver.run());
        Appender { submissions, room: Arc::new(Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// Sends an append as soon as there is room in flight; the answer comes with the future that this returns.
    pub async fn submit(&self, request: AppendRequest) -> Submitted {
        let (answer, receiver) = oneshot::channel();
        if let Ok(room) = Arc::clone(&self.room).acquire_owned().await {
            let message = v1::AppendStreamRequest { correlation: 0, append: Some(append::request_to_wire(&request)) };
            // Where the driver is gone the answer is dropped here, which says "unknown".
            let _ = self.submissions.send(InFlight { message, answer, trail: Trail::default(), _room: room });
        }
        Submitted(receiver)
    }
}

/// An append that was not answered yet.
#[derive(Debug)]
struct InFlight {
    message: v1::AppendStreamRequest,
    answer: oneshot::Sender<Answer>,
    trail: Trail,
    _room: OwnedSemaphorePermit,
}

/// Owns the call, and makes it again when it is lost.
struct Driver {
    shared: Arc<Shared>,
    submitted: mpsc::UnboundedReceiver<InFlight>,
    /// In the order in which they were submitted, which is that of the answers.
    unanswered: VecDeque<InFlight>,
    next_correlation: u64,
    backoff: Backoff,
    /// When to give up, counted from the last answer.
    deadline: Deadline,
}

/// How a call ended.
enum End {
    /// All was answered and nothing more can come.
    Done,
    /// The server did not take the call: it saw no append of it, if it is the server that says so.
    Refused(Status),
    /// What is unanswered has to be sent again, or given up.
    Lost(Status),
}

impl Driver {
    async fn run(mut self) {
        loop {
            if self.unanswered.is_empty() {
                let Some(first) = self.submitted.recv().await else { return };
                self.progress();
                self.take(first);
            }
            let end = self.call().await;
            let hopeless = match &end {
                End::Done => return,
                End::Refused(status) | End::Lost(status) => self.shared.is_hopeless(status),
            };
            let status = match end {
                End::Done => return,
                // Nothing was sent, so this try leaves no doubt behind.
                End::Refused(status) | End::Lost(status) if hopeless.is_some() => status,
                End::Refused(status) => {
                    self.unanswered.iter_mut().for_each(|in_flight| drop(in_flight.trail.failed(&status)));
                    status
                }
                End::Lost(status) => {
                    self.unanswered.iter_mut().for_each(|in_flight| in_flight.trail.lost(&status));
                    status
                }
            };
            if self.unanswered.is_empty() {
                continue;
            }
            if hopeless.is_some() || !is_open(&status) || !self.deadline.wait(self.backoff.next()).await {
                for in_flight in self.unanswered.drain(..) {
                    let error = match &hopeless {
                        Some(error) => AppendError::Store(error.clone()),
                        None => status::append_error(&status),
                    };
                    let error = in_flight.trail.last_word(error);
                    // Whoever does not wait for the answer does not want it.
                    let _ = in_flight.answer.send(Err(error));
                }
            }
        }
    }

    fn progress(&mut self) {
        self.deadline = Deadline::after(self.shared.config.deadline);
        self.backoff.reset();
    }

    /// Numbers an append and puts it at the end of what is unanswered.
    fn take(&mut self, mut in_flight: InFlight) -> &InFlight {
        in_flight.message.correlation = self.next_correlation;
        self.next_correlation += 1;
        self.unanswered.push_back(in_flight);
        self.unanswered.back().expect("it was just put there")
    }

    /// Makes one call: sends what is unanswered, then what is submitted, and hands out the answers.
    async fn call(&mut self) -> End {
        let (requests, mut outgoing) = mpsc::unbounded_channel();
        for in_flight in &self.unanswered {
            // The other end lives in this function.
            let _ = requests.send(in_flight.message.clone());
        }
        let mut connection = self.shared.connections.store();
        let calling = connection.append_stream(stream::poll_fn(move |context| outgoing.poll_recv(context)));
        let mut answers = match tokio::time::timeout(self.shared.config.try_timeout, calling).await {
            Ok(Ok(call)) => {
                self.shared.heard();
                call.into_inner()
            }
            Ok(Err(status)) => return End::Refused(status),
            Err(_) => return End::Lost(silent()),
        };
        let mut open = true;
        while open || !self.unanswered.is_empty() {
            tokio::select! {
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        if let Err(status) = self.answered(answer) {
                            return End::Lost(status);
                        }
                    }
                    Ok(None) => return End::Lost(Status::unavailable("the server ended the call")),
                    Err(status) => return End::Lost(status),
                },
                submitted = self.submitted.recv(), if open => match submitted {
                    Some(submitted) => {
                        if self.unanswered.is_empty() {
                            self.progress();
                        }
                        let _ = requests.send(self.take(submitted).message.clone());
                    }
                    None => open = false,
                },
                () = tokio::time::sleep(self.deadline.left()), if !self.unanswered.is_empty() => {
                    return End::Lost(silent());
                }
            }
        }
        End::Done
    }

    /// Hands an answer to whom it belongs. One that may be another a moment later loses the call, so that everything
    /// behind it comes behind it the next time too.
    fn answered(&mut self, answer: v1::AppendStreamResponse) -> Result<(), Status> {
        let Some(first) = self.unanswered.front_mut() else {
            return Err(Status::internal("the server answered what was not asked"));
        };
        if first.message.correlation != answer.correlation {
            return Err(Status::internal("the server answered out of order"));
        }
        let answer = match answer.result {
            Some(append_stream_response::Result::Response(response)) => append::outcome_from_wire(response)
                .map_err(|malformed| AppendError::Unknown { reason: malformed.to_string() }),
            Some(append_stream_response::Result::Failure(failure)) => {
                let status = Status::with_details(Code::from(failure.code), failure.message, failure.details);
                if is_open(&status) {
                    return Err(status);
                }
                let error = first.trail.failed(&status);
                Err(first.trail.last_word(error))
            }
            None => Err(AppendError::Unknown { reason: "the server's answer is empty".to_owned() }),
        };
        self.progress();
        if let Some(first) = self.unanswered.pop_front() {
            let _ = first.answer.send(answer);
        }
        Ok(())
    }
}

/// Whether a status leaves the outcome open, or closed only for the moment.
fn is_open(status: &Status) -> bool {
    matches!(
        status::append_error(status),
        AppendError::Unknown { .. } | AppendError::Overloaded { .. } | AppendError::ShuttingDown
    )
}

fn silent() -> Status {
    Status::unavailable("the server went silent")
}
