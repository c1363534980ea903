//! What must hold of whatever is said to the helper, or by it.

use super::wire::{Answer, Ended, Offered, Request, Watched, read_frame};

/// What can be read is what was written.
pub(crate) fn helper(bytes: &[u8]) {
    let mut rest = bytes;
    let Ok(frame) = read_frame(&mut rest) else {
        return;
    };
    let length = bytes.len() - rest.len();
    if let Ok(request) = Request::decode(&frame) {
        assert_eq!(request.encode(), bytes[..length]);
    }
    if let Ok(answer) = Answer::decode(&frame) {
        assert_eq!(answer.encode(), bytes[..length]);
        if let Answer::Done(row) = answer {
            if let Ok(offered) = Offered::decode_all(&row) {
                assert_eq!(Offered::encode_all(&offered), row);
            }
            if let Ok(watched) = Watched::decode_all(&row) {
                assert_eq!(Watched::encode_all(&watched), row);
            }
            if let Ok(ended) = Ended::decode(&row) {
                assert_eq!(ended.encode(), row);
            }
        }
    }
}
