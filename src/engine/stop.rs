//! Hearing that somebody says stop, and that somebody says it again.

use tokio::sync::watch;

/// Changes when somebody says stop: the name of the signal. When it changes again, nothing is waited for any more.
pub type StopSignal = watch::Receiver<Option<&'static str>>;

/// The signal, or the next one after it; `None` when nobody can say it any more.
pub(super) async fn said_stop(stop: &mut StopSignal, again: bool) -> Option<&'static str> {
    if again {
        stop.changed().await.ok()?;
    }
    stop.wait_for(Option::is_some).await.ok().and_then(|said| *said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_signal_is_heard_and_one_alone_is_not_heard_twice() {
        let (say, mut stop) = watch::channel(None);
        say.send(Some("SIGINT")).unwrap();
        assert_eq!(said_stop(&mut stop, false).await, Some("SIGINT"));
        tokio::select! {
            biased;
            said = said_stop(&mut stop, true) => panic!("{said:?} was heard again"),
            () = std::future::ready(()) => {}
        }
        say.send(Some("SIGINT")).unwrap();
        assert_eq!(said_stop(&mut stop, true).await, Some("SIGINT"));
        drop(say);
        assert_eq!(said_stop(&mut stop, true).await, None);
    }
}
