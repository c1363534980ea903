use super::*;
use crate::probe::cache::tests::{any_session, cache_spec};

#[tokio::test]
async fn no_name_and_no_spelling_leads_from_another_machine_to_this_one() {
    for host in [
        "localhost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0",
        "::1",
    ] {
        let mut session = any_session();
        let elsewhere = Elsewhere {
            candidate: Address {
                host: host.to_owned(),
                port: Some(80),
            },
            sender: "192.0.2.6:5000".parse().unwrap(),
        };
        let trace = Trace::new();
        let question = Question {
            hop: Hop::to(&cache_spec(|_| {}), "nix-cache-info"),
            stage: Stage::Http,
            patience: Duration::MAX,
            keep: false,
            wanted: Wanted::All,
        };
        let led = session.lead(&elsewhere, &question, &trace).await;
        let failure = led.unwrap_err();
        assert_eq!(
            (failure.stage, failure.reason),
            (Stage::Http, Reason::Redirected),
            "{host}"
        );
        let elsewhere = Elsewhere {
            sender: "127.0.0.1:5000".parse().unwrap(),
            ..elsewhere
        };
        let led = session.lead(&elsewhere, &question, &trace).await;
        assert!(!led.unwrap().is_empty(), "{host}");
    }
}
