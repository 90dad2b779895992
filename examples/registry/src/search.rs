//! Search conditions as SQL: one statement for each, whichever parameters are given.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use grantor_store::{Database, Statement, Value as Sql};
use serde_json::{Map, Value, json};

use crate::model::{Column, Condition, Kind, Pagination, Search};

/// The most values of a list.
const LISTED: usize = 20;

/// The most rows, where a condition does not say.
const LIMIT: i64 = 1_000;

/// A parameter that cannot be used.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) field: String,
    pub(crate) value: String,
    pub(crate) message: &'static str,
}

/// Why there are no rows.
#[derive(Debug)]
pub(crate) enum Failed {
    Parameters(Vec<Bad>),
    Database(String),
}

/// Statements are prepared by their text, which has to stay: each condition has two, made once.
#[derive(Debug, Default)]
pub(crate) struct Texts(Mutex<HashMap<String, &'static str>>);

impl Texts {
    fn kept(&self, text: String) -> &'static str {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = texts.get(&text) {
            return known;
        }
        let kept: &'static str = Box::leak(text.clone().into_boxed_str());
        texts.insert(text, kept);
        kept
    }
}

/// `WHERE` of a condition with its arguments.
struct Where {
    text: String,
    arguments: Vec<Sql>,
}

impl Where {
    /// Notes an argument; text and numbers are cast, so that both databases know their type where nothing is given.
    fn argument(&mut self, kind: Kind, value: Option<Sql>) -> String {
        self.arguments.push(value.unwrap_or(Sql::Null));
        let kind = if kind == Kind::Text { "TEXT" } else { "BIGINT" };
        format!("CAST(${} AS {kind})", self.arguments.len())
    }

    fn and(&mut self, text: &str) {
        self.text.push_str(if self.text.is_empty() { " WHERE " } else { " AND " });
        self.text.push_str(text);
    }
}

/// The parameters of a request, by name in small letters without underscores: camelCase and snake_case are one.
pub(crate) type Given = BTreeMap<String, String>;

/// A name as it is compared.
pub(crate) fn folded(name: &str) -> String {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

fn value(kind: Kind, text: &str) -> Option<Sql> {
    match kind {
        Kind::Text => Some(Sql::from(text)),
        Kind::Integer => text.trim().parse::<i64>().ok().map(Sql::from),
    }
}

/// A text in a pattern of LIKE, whose signs stand for themselves.
fn pattern(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

fn compared(name: &str, column: &Column, search: Search, given: &Given, made: &mut Where, bad: &mut Vec<Bad>) {
    let mut read = |field: String| {
        let text = given.get(&folded(&field))?;
        let read = value(column.kind, text);
        if read.is_none() {
            bad.push(Bad { field, value: text.clone(), message: "a whole number is needed" });
        }
        read
    };
    match search {
        Search::Equal | Search::NotEqual => {
            let argument = read(name.to_owned());
            let argument = made.argument(column.kind, argument);
            let sign = if search == Search::Equal { "=" } else { "<>" };
            made.and(&format!("({argument} IS NULL OR {name} {sign} {argument})"));
        }
        Search::Contains | Search::StartsWith => {
            let text = given.get(&folded(name)).map(|text| pattern(text));
            let wanted =
                text.map(|text| if search == Search::Contains { format!("%{text}%") } else { format!("{text}%") });
            let argument = made.argument(Kind::Text, wanted.map(Sql::from));
            made.and(&format!("({argument} IS NULL OR CAST({name} AS TEXT) LIKE {argument} ESCAPE '\\')"));
        }
        Search::Between => {
            let (from, to) = (read(format!("{name}_from")), read(format!("{name}_to")));
            let (from, to) = (made.argument(column.kind, from), made.argument(column.kind, to));
            made.and(&format!("({from} IS NULL OR {name} >= {from}) AND ({to} IS NULL OR {name} <= {to})"));
        }
        Search::In | Search::NotIn => {
            let given = given.get(&folded(name));
            let listed: Vec<&str> = given
                .into_iter()
                .flat_map(|text| text.split(','))
                .map(str::trim)
                .filter(|one| !one.is_empty())
                .collect();
            if listed.len() > LISTED {
                bad.push(Bad { field: name.to_owned(), value: String::new(), message: "at most 20 values" });
            }
            let mut values = listed.iter().map(|text| {
                let read = value(column.kind, text);
                if read.is_none() {
                    bad.push(Bad {
                        field: name.to_owned(),
                        value: (*text).to_owned(),
                        message: "whole numbers are needed",
                    });
                }
                read
            });
            // As many arguments as there may be values: the statement is the same for all requests.
            let arguments: Vec<String> =
                (0..LISTED).map(|_| made.argument(column.kind, values.next().flatten())).collect();
            drop(values);
            let any = made.argument(Kind::Integer, given.map(|_| Sql::from(1_i64)));
            let one_of =
                arguments.iter().map(|argument| format!("{name} = {argument}")).collect::<Vec<_>>().join(" OR ");
            let one_of = format!("COALESCE({one_of}, FALSE)");
            let one_of = if search == Search::NotIn { format!("NOT {one_of}") } else { one_of };
            made.and(&format!("({any} IS NULL OR {one_of})"));
        }
    }
}

/// A number among the parameters, in bounds.
fn number(given: &Given, name: &str, otherwise: i64, least: i64, bad: &mut Vec<Bad>) -> i64 {
    let Some(text) = given.get(&folded(name)) else { return otherwise };
    match text.parse::<i64>().ok().filter(|number| *number >= least) {
        Some(number) => number,
        None => {
            bad.push(Bad {
                field: name.to_owned(),
                value: text.clone(),
                message: "a whole number that is large enough is needed",
            });
            otherwise
        }
    }
}

/// The rows of a condition. `of_caller` is the value that the row's own column must have.
pub(crate) async fn rows(
    database: &dyn Database,
    texts: &Texts,
    condition: &Condition,
    given: &Given,
    of_caller: Option<&str>,
) -> Result<Value, Failed> {
    let (mut made, mut bad) = (Where { text: String::new(), arguments: Vec::new() }, Vec::new());
    for (name, column) in &condition.columns {
        if let Some(search) = column.search {
            compared(name, column, search, given, &mut made, &mut bad);
        }
    }
    if let Some(rows) = &condition.rows {
        // Whoever lacks the claim sees nothing: no row has NULL here.
        let argument = made.argument(Kind::Text, of_caller.map(Sql::from));
        made.and(&format!("{} = {argument}", rows.column));
    }
    let most = condition.limit.unwrap_or(LIMIT).clamp(1, LIMIT);
    let (limit, offset, page) = match condition.pagination {
        Pagination::None => (most, 0, 0),
        Pagination::Offset => {
            (number(given, "limit", most, 0, &mut bad).min(most), number(given, "offset", 0, 0, &mut bad), 0)
        }
        Pagination::Page => {
            let size = number(given, "pageSize", most.min(10), 1, &mut bad).min(most);
            let page = number(given, "pageNo", 0, 0, &mut bad);
            (size, page.saturating_mul(size), page)
        }
    };
    if !bad.is_empty() {
        return Err(Failed::Parameters(bad));
    }
    let shown: Vec<(&String, &Column)> = condition.columns.iter().filter(|(_, column)| column.returning).collect();
    let names = shown.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let (table, order, condition_text) = (&condition.table, &condition.order, made.text.clone());
    let mut arguments = made.arguments.clone();
    arguments.extend([Sql::from(limit), Sql::from(offset)]);
    let at = arguments.len();
    let text = format!(
        "SELECT {names} FROM {table}{condition_text} ORDER BY {order}, id LIMIT CAST(${} AS BIGINT) OFFSET CAST(${at} AS BIGINT)",
        at - 1
    );
    let failed = |error: grantor_store::StoreError| Failed::Database(error.to_string());
    let found = database.read(Statement::new(texts.kept(text), arguments)).await.map_err(failed)?;
    let mut content = Vec::with_capacity(found.len());
    for row in &found {
        let mut object = Map::new();
        for (at, (name, column)) in shown.iter().enumerate() {
            let value = match column.kind {
                Kind::Text => Value::from(row.opt_text(at).map_err(failed)?),
                Kind::Integer => Value::from(row.opt_int(at).map_err(failed)?),
            };
            object.insert((*name).clone(), value);
        }
        content.push(Value::Object(object));
    }
    if condition.pagination != Pagination::Page {
        return Ok(Value::Array(content));
    }
    let text = texts.kept(format!("SELECT COUNT(*) FROM {table}{condition_text}"));
    let counted = database.read(Statement::new(text, made.arguments)).await.map_err(failed)?;
    let total = counted.first().map(|row| row.int(0)).transpose().map_err(failed)?.unwrap_or_default();
    let pages = total.saturating_add(limit - 1) / limit.max(1);
    Ok(json!({"content": content, "totalElements": total, "totalPages": pages, "pageNo": page, "pageSize": limit}))
}
