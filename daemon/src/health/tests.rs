//! The health core from outside: scenarios a reader can check by eye, and properties that hold
//! whatever happens.

mod away;
mod built;
mod closed;
mod depth;
mod hindered;
mod link;
mod play;
mod properties;
mod published;
mod scenarios;
mod unmade;
mod world;
