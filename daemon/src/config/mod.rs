//! offloadd's own configuration.

mod settings;

pub use settings::{BuilderEntry, CacheEntry, Connection, NixImport, Poll, Settings};
