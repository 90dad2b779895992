//! Tasks: whose they are, and how far they have come.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::berths;

/// How many tasks are kept; the oldest that are done go first.
const KEPT: usize = 10_000;

/// Who calls, as the gateway says.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    subject: String,
    /// Whether the caller sees the tasks of all.
    is_admin: bool,
}

impl Caller {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_admin = text("x-auth-roles").split(',').any(|role| role == "admin");
        Self { subject: text("x-auth-subject").to_owned(), is_admin }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    name: String,
    algorithm: String,
    owner: String,
    status: &'static str,
    output: Option<Value>,
}

impl Task {
    pub(crate) fn as_json(&self) -> Value {
        json!({"id": self.id, "name": self.name, "algorithm": self.algorithm, "status": self.status, "outputData": self.output})
    }
}

/// What an algorithm does.
pub(crate) type Work = fn() -> Value;

/// The algorithm of a name.
pub(crate) fn algorithm(name: &str) -> Option<Work> {
    (name == "BAP").then_some(berths::allocated)
}

/// All tasks, by id. Ids begin with the time, so that they are in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    all: Mutex<BTreeMap<String, Task>>,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Task>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task; `None` when as many wait as may be kept.
    pub(crate) fn add(&self, name: &str, algorithm: &str, caller: &Caller) -> Option<Task> {
        let mut all = self.lock();
        if all.len() >= KEPT {
            let done = all.values().find(|task| task.output.is_some()).map(|task| task.id.clone())?;
            all.remove(&done);
        }
        let task = Task {
            id: uuid::Uuid::now_v7().to_string(),
            name: name.to_owned(),
            algorithm: algorithm.to_owned(),
            owner: caller.subject.clone(),
            status: "WAITING",
            output: None,
        };
        all.insert(task.id.clone(), task.clone());
        Some(task)
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Task)) -> Option<Value> {
        let mut all = self.lock();
        let task = all.get_mut(id)?;
        change(task);
        Some(task.as_json())
    }

    /// Runs a task, and gives it back done.
    pub(crate) async fn run(&self, id: &str, work: Work) -> Option<Value> {
        self.change(id, |task| task.status = "RUNNING");
        let output = tokio::task::spawn_blocking(work).await;
        self.change(id, |task| {
            (task.status, task.output) = match output {
                Ok(output) => ("COMPLETED", Some(output)),
                Err(_) => ("COMPLETED_ERRORS", Some(Value::Null)),
            };
        })
    }

    /// The tasks that a caller may see.
    pub(crate) fn of(&self, caller: &Caller) -> Vec<Value> {
        let all = self.lock();
        all.values().filter(|task| caller.is_admin || task.owner == caller.subject).map(Task::as_json).collect()
    }

    /// A task, if the caller may see it.
    pub(crate) fn one(&self, id: &str, caller: &Caller) -> Option<Value> {
        let all = self.lock();
        all.get(id).filter(|task| caller.is_admin || task.owner == caller.subject).map(Task::as_json)
    }
}
