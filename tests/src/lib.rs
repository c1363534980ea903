//! The test desktop: fixtures that others reuse, and fakes for faults on demand.
