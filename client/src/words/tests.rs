use super::*;

#[test]
fn every_word_reads_back_as_itself() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_word(reason.as_str()), *reason);
    }
    for stage in Stage::ALL {
        assert_eq!(Stage::from_word(stage.as_str()), *stage);
    }
}

#[test]
fn what_keeps_nix_away_has_one_word_as_difference_and_as_reason() {
    for code in WarningCode::ALL {
        if let Some(reason) = code.hinders() {
            assert_eq!(reason.as_str(), code.as_str());
            assert_eq!(reason.hindrance(), Some(*code));
        }
    }
    assert_eq!(Reason::Refused.hindrance(), None);
}

#[test]
fn an_unknown_word_is_neutral() {
    assert_eq!(TargetState::from_word("exploded"), TargetState::Unknown);
    assert_eq!(Reason::from_word("from-the-future"), Reason::None);
}
