//! The acceptance rows of seed 0 (K, the task API) and seed 1 (R, the registry) that need no gateway.

mod registry;
mod task;
