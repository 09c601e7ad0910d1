//! The ledger for async code: one thread keeps the book, and what many callers ask at once is made durable at once.
//!
//! While one sync is under way the next asks gather, so callers wait for at most two syncs however many they are.
//! A caller that went away before he had looked at the answer cannot have sent anything for it: it is released, whether
//! he left before the answer came or while it lay there.

use tokio::sync::{mpsc, oneshot};

use super::amounts::Usage;
use super::book::{Book, LedgerError};
use super::offer::{Ask, Done, Refused, Request, ReservationId, Reserved, Settled, Unfit};
use crate::vocab::RunId;

/// Asks that become durable together at most.
const BATCH: usize = 64;
/// A handle of the ledger; the book is closed when the last one is dropped and everything asked was answered.
#[derive(Debug, Clone)]
pub struct Ledger(mpsc::UnboundedSender<Job>);

#[derive(Debug)]
struct Job {
    ask: Ask,
    answer: oneshot::Sender<Result<Done, LedgerError>>,
}

impl Ledger {
    /// Hands the book to a thread of its own.
    pub fn keep(book: Book) -> Result<Self, LedgerError> {
        // Without a bound, since who gives up must be heard and cannot wait. Each caller has one job here, or two so.
        let (jobs, inbox) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("spend-ledger".to_owned());
        // It ends by itself, when nobody can ask any more.
        thread.spawn(move || serve(book, inbox)).map_err(|_| LedgerError::Closed)?;
        Ok(Self(jobs))
    }

    /// Sets money aside for a request, or says which cap is in the way. The reservation is durable.
    pub async fn reserve(&self, request: Request) -> Result<Result<Reserved, Refused>, LedgerError> {
        match self.ask(Ask::Reserve(Box::new(request))).await? {
            Done::Reserved(reserved) => Ok(Ok(reserved)),
            Done::Refused(refused) => Ok(Err(refused)),
            Done::Settled(_) | Done::Closed | Done::Unfit(_) => Err(LedgerError::Closed),
        }
    }

    /// Settles a reservation by the provider's usage. The same again for the same usage.
    pub async fn settle(
        &self,
        id: ReservationId,
        usage: Usage,
    ) -> Result<Result<Settled, Unfit>, LedgerError> {
        match self.ask(Ask::Settle(id, usage)).await? {
            Done::Settled(settled) => Ok(Ok(settled)),
            Done::Unfit(unfit) => Ok(Err(unfit)),
            Done::Reserved(_) | Done::Refused(_) | Done::Closed => Err(LedgerError::Closed),
        }
    }

    /// The answer broke off without a usage: the reservation counts in full, until one comes after all.
    pub async fn drop_stream(&self, id: ReservationId) -> Result<Result<(), Unfit>, LedgerError> {
        closed(self.ask(Ask::Drop(id)).await?)
    }

    /// Gives a reservation back. Only where not one byte of the request can have left: connecting failed.
    pub async fn release(&self, id: ReservationId) -> Result<Result<(), Unfit>, LedgerError> {
        closed(self.ask(Ask::Release(id)).await?)
    }

    /// The run is over: whatever it still holds open counts in full from now on.
    pub async fn abandon(&self, run: RunId) -> Result<(), LedgerError> {
        self.ask(Ask::Abandon(run)).await.map(|_| ())
    }

    async fn ask(&self, ask: Ask) -> Result<Done, LedgerError> {
        let (answer, done) = oneshot::channel();
        self.0.send(Job { ask, answer }).map_err(|_| LedgerError::Closed)?;
        let mut waiting = Waiting { done, jobs: &self.0 };
        (&mut waiting.done).await.map_err(|_| LedgerError::Closed)?
    }
}

/// A caller until he has his answer.
struct Waiting<'a> {
    done: oneshot::Receiver<Result<Done, LedgerError>>,
    jobs: &'a mpsc::UnboundedSender<Job>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // From here on an answer finds nobody, and comes back to the thread.
        self.done.close();
        if let Some(ask) = self.done.try_recv().ok().and_then(|answer| given_up(&answer)) {
            let (answer, _) = oneshot::channel();
            self.jobs.send(Job { ask, answer }).ok();
        }
    }
}

fn closed(done: Done) -> Result<Result<(), Unfit>, LedgerError> {
    match done {
        Done::Closed => Ok(Ok(())),
        Done::Unfit(unfit) => Ok(Err(unfit)),
        Done::Reserved(_) | Done::Refused(_) | Done::Settled(_) => Err(LedgerError::Closed),
    }
}

fn serve(mut book: Book, mut inbox: mpsc::UnboundedReceiver<Job>) {
    while let Some(first) = inbox.blocking_recv() {
        let (mut asks, mut answers) = (vec![first.ask], vec![first.answer]);
        while asks.len() < BATCH
            && let Ok(job) = inbox.try_recv()
        {
            asks.push(job.ask);
            answers.push(job.answer);
        }
        let unheard = match book.commit(&asks) {
            Ok(done) => answers.into_iter().zip(done).filter_map(unheard).collect::<Vec<_>>(),
            Err(error) => {
                for answer in answers {
                    answer.send(Err(error.clone())).ok();
                }
                Vec::new()
            }
        };
        // Where this fails they stay reserved, which is never too little.
        if !unheard.is_empty() {
            book.commit(&unheard).ok();
        }
    }
}

/// Hands out an answer; what is to be done where nobody waited for it.
fn unheard((answer, done): (oneshot::Sender<Result<Done, LedgerError>>, Done)) -> Option<Ask> {
    answer.send(Ok(done)).err().and_then(|answer| given_up(&answer))
}

/// What is to be done where nobody looked at an answer.
fn given_up(answer: &Result<Done, LedgerError>) -> Option<Ask> {
    match answer {
        Ok(Done::Reserved(reserved)) => Some(Ask::Release(reserved.id)),
        _ => None,
    }
}
