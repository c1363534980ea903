//! What offloadd costs beside others that do the same checks, measured in one run.

pub mod contestant;
pub mod figures;
pub mod fleet;
pub mod gateway;
pub mod many;
pub mod offloadd;
pub mod peers;
pub mod proc;
pub mod proof;
pub mod table;
