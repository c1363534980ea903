//! A server of the files that Nix made.

use super::*;

/// A server of files, and what it was asked for but for `nix-cache-info`.
pub(crate) struct Server {
    pub(crate) fake: Fake,
    pub(crate) asked: mpsc::Receiver<String>,
}

impl Server {
    /// Answers each question for a narinfo with what `answer` says, all else from a real cache.
    pub(crate) async fn new(
        answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::with_nars(answer, nar).await
    }

    /// Answers each question for a NAR with what `nar` says to its head.
    pub(crate) async fn with_nars(
        answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        nar: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let (noted, asked) = mpsc::channel(64);
        let answer = Arc::new((answer, nar));
        let fake = Fake::new(move |mut stream, _| {
            let (answer, noted) = (answer.clone(), noted.clone());
            async move {
                while let Some(head) = question(&mut stream).await {
                    let name = head.split([' ', '/']).nth(2).unwrap().to_owned();
                    let text = match name.as_str() {
                        "nix-cache-info" => Some(ok(&SIGNED.file(&name).unwrap())),
                        "nar" => (answer.1)(&head),
                        _ => (answer.0)(&name),
                    };
                    let Some(text) = text else {
                        return drain(&mut stream).await;
                    };
                    if name.ends_with(".narinfo") {
                        noted.send(name).await.unwrap();
                    }
                    if stream.write_all(text.as_bytes()).await.is_err() || is_last(&text) {
                        return;
                    }
                }
            }
        });
        Self {
            fake: fake.await,
            asked,
        }
    }

    pub(crate) async fn of(cache: &'static Cache) -> Self {
        Self::new(move |name| Some(cache.file(name).map_or(ABSENT.to_owned(), |text| ok(&text))))
            .await
    }

    /// Says the same of every path.
    pub(crate) async fn saying(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::new(move |_| Some(answer.clone())).await
    }

    /// A session that is told of one path, and what a test wants different.
    pub(crate) fn session(&self, change: impl FnOnce(&mut CacheSpec)) -> Session {
        self.session_within(Connection::Keep, PATIENCE, change)
    }

    pub(crate) fn session_within(
        &self,
        connection: Connection,
        deep_timeout: Duration,
        change: impl FnOnce(&mut CacheSpec),
    ) -> Session {
        let spec = spec(self.fake.address, |cache| {
            cache.store_dir = STORE.store_dir.clone();
            cache.public_keys = vec![SIGNED.key.clone()];
            cache.sample = Some(STORE.path.clone());
            change(cache);
        });
        let context = Context {
            timeout: PATIENCE,
            deep_timeout,
            connection,
            closed: mpsc::channel(1).0,
            sockets: crate::probe::search_sockets(),
            cache_hosts: tokio::sync::watch::channel(Default::default()).1,
            nix_daemon: tokio::sync::watch::channel(None).1,
            lookups: crate::probe::Lookups::default(),
        };
        Session::new(spec, Arc::new(context))
    }

    pub(crate) async fn check(&self, change: impl FnOnce(&mut CacheSpec)) -> Report {
        self.session(change).check(Depth::Deep).await
    }

    /// What it was asked for since the last time.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.asked.try_recv().ok()).collect()
    }
}

fn is_last(answer: &str) -> bool {
    answer.contains("Connection: close")
}

/// The head of an answer for a NAR of the signed cache that is there.
fn nar(head: &str) -> Option<String> {
    let path = head.split([' ', '?']).nth(1)?.trim_start_matches('/');
    Some(match SIGNED.size(path) {
        Some(size) => format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"),
        None => ABSENT.to_owned(),
    })
}
