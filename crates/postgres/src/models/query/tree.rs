//! The walk through a query's tree: every kind of node is known here, or refused.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    DataType, Expr, Function, FunctionArguments, Ident, ObjectName, Query, Select, SelectFlavor, SetExpr, Statement,
    TableAlias, TableFactor, Value, Visit, Visitor,
};

use super::check::{READS_ONLY, uncallable};
use super::words::{BARE, GRAMMAR, TYPES, WHO};
use crate::models::functions;

/// What a query names.
pub(super) struct Walked {
    /// Its relations, without their schema, as often as they stand there.
    pub(super) relations: Vec<String>,
    /// How often each alias has columns behind it, which look like the arguments of a call.
    pub(super) aliases: HashMap<String, usize>,
}

/// Walks through a query. Relations stand without a schema, or with `schema` if there is one.
///
/// # Errors
/// What it may not, and what to do instead.
pub(super) fn walk(query: &Query, schema: Option<&str>) -> Result<Walked, String> {
    let mut walls = Walls { schema, relations: Vec::new(), tables: 0, named: 0, aliases: HashMap::new() };
    if let ControlFlow::Break(problem) = query.visit(&mut walls) {
        return Err(problem);
    }
    if walls.tables != walls.named {
        return Err("the query names a relation where none can stand".to_owned());
    }
    Ok(Walked { relations: walls.relations, aliases: walls.aliases })
}

/// The walls that the tree runs into.
struct Walls<'a> {
    /// The one schema that may stand before a relation.
    schema: Option<&'a str>,
    relations: Vec<String>,
    /// Names of relations that were met anywhere, and those that were looked at.
    tables: usize,
    named: usize,
    /// Aliases with columns behind them, which look like calls.
    aliases: HashMap<String, usize>,
}

/// As PostgreSQL has it: without quotes, in lower case.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|part| part.as_ident().map(folded)).collect()
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, String> {
    Err(problem.into())
}

const OTHERS: &str = "the query has a part that is not PostgreSQL's: write it more plainly";

impl Walls<'_> {
    fn relation(&mut self, name: &ObjectName) -> Result<(), String> {
        let parts = parts(name).ok_or(OTHERS)?;
        let relation = match parts.as_slice() {
            [relation] => relation,
            [schema, relation] if Some(schema.as_str()) == self.schema => relation,
            _ => {
                return refuse(format!(
                    "`{}` may not be queried: name the tables of projections, and `events`, without a schema",
                    parts.join(".").escape_debug()
                ));
            }
        };
        if relation.starts_with("pg_") {
            return refuse(format!("`{}` may not be queried: it is PostgreSQL's own", relation.escape_debug()));
        }
        self.relations.push(relation.clone());
        self.named += 1;
        Ok(())
    }

    fn alias(&mut self, alias: Option<&TableAlias>) -> Result<(), String> {
        let Some(alias) = alias else { return Ok(()) };
        if alias.at.is_some() {
            return refuse(OTHERS);
        }
        for column in &alias.columns {
            column.data_type.as_ref().map_or(Ok(()), check_type)?;
        }
        if !alias.columns.is_empty() {
            *self.aliases.entry(folded(&alias.name)).or_default() += 1;
        }
        Ok(())
    }

    fn query(&mut self, query: &Query) -> Result<(), String> {
        let Query {
            with,
            body,
            order_by: _,
            limit_clause: _,
            fetch: _,
            locks,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } = query
        else {
            return refuse(OTHERS);
        };
        if !locks.is_empty() {
            return refuse("a query locks no rows: leave FOR UPDATE or FOR SHARE out");
        }
        if !pipe_operators.is_empty() {
            return refuse(OTHERS);
        }
        for table in with.iter().flat_map(|with| &with.cte_tables) {
            if table.from.is_some() {
                return refuse(OTHERS);
            }
            self.alias(Some(&table.alias))?;
        }
        check_body(body)
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<(), String> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.relation(name)?;
                self.alias(alias.as_ref())
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_hints,
                version: None,
                with_ordinality: _,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty()
                && partitions.is_empty()
                && index_hints.is_empty()
                && args.settings.is_none() =>
            {
                // The walk takes the function's name for that of a relation.
                self.named += 1;
                check_name(name)?;
                self.alias(alias.as_ref())
            }
            TableFactor::Derived { lateral: _, subquery: _, alias, sample: None } => self.alias(alias.as_ref()),
            TableFactor::Function { lateral: _, name, args: _, with_ordinality: _, alias } => {
                check_name(name)?;
                self.alias(alias.as_ref())
            }
            TableFactor::UNNEST {
                alias,
                array_exprs: _,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality: _,
            }
            | TableFactor::NestedJoin { table_with_joins: _, alias } => self.alias(alias.as_ref()),
            _ => refuse(
                "FROM has tables, subqueries and functions of the list, and nothing else; no TABLESAMPLE, no XMLTABLE",
            ),
        }
    }
}

/// The parts of a set operation: queries, all of them.
fn check_body(body: &SetExpr) -> Result<(), String> {
    // As deep as there are UNIONs, so not by recursion.
    let mut left = vec![body];
    while let Some(body) = left.pop() {
        match body {
            // Looked at when the walk comes to them.
            SetExpr::Select(_) | SetExpr::Query(_) => {}
            SetExpr::SetOperation { left: first, op: _, set_quantifier: _, right: second } => {
                left.push(first);
                left.push(second);
            }
            SetExpr::Values(values) if !values.explicit_row && !values.value_keyword => {}
            SetExpr::Values(_) => return refuse(OTHERS),
            SetExpr::Table(_) => return refuse("write SELECT * FROM for TABLE"),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                return refuse(READS_ONLY);
            }
        }
    }
    Ok(())
}

fn check_select(select: &Select) -> Result<(), String> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct: _,
        select_modifiers: None,
        top: None,
        top_before_distinct: _,
        projection: _,
        exclude: None,
        into,
        from: _,
        lateral_views,
        prewhere: None,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: None,
        window_before_qualify: _,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    } = select
    else {
        return refuse(OTHERS);
    };
    if into.is_some() {
        return refuse("SELECT INTO writes: leave INTO out");
    }
    let of_others = [
        optimizer_hints.is_empty(),
        lateral_views.is_empty(),
        connect_by.is_empty(),
        cluster_by.is_empty(),
        distribute_by.is_empty(),
        sort_by.is_empty(),
    ];
    if of_others.contains(&false) { refuse(OTHERS) } else { Ok(()) }
}

/// Whether a function of this name may be called.
fn check_name(name: &ObjectName) -> Result<(), String> {
    let parts = parts(name).ok_or(OTHERS)?;
    let function = match parts.as_slice() {
        [function] => function,
        [schema, function] if schema == "pg_catalog" => function,
        _ => return Err(uncallable(&parts.join("."))),
    };
    if functions::is_allowed(function) { Ok(()) } else { Err(uncallable(function)) }
}

fn check_function(function: &Function) -> Result<(), String> {
    let Function {
        name,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        within_group: _,
        filter: _,
        null_treatment: _,
        over: _,
    } = function
    else {
        return refuse(OTHERS);
    };
    let grammar = match name.0.as_slice() {
        [only] => only.as_ident().filter(|ident| ident.quote_style.is_none()).map(folded),
        _ => None,
    };
    let grammar = grammar.as_deref();
    match args {
        FunctionArguments::None if grammar.is_some_and(|name| BARE.contains(&name)) => Ok(()),
        FunctionArguments::None => Err(uncallable(&name.to_string())),
        FunctionArguments::Subquery(_) if grammar == Some("array") => Ok(()),
        FunctionArguments::Subquery(_) => refuse(OTHERS),
        // `current_timestamp(3)` has brackets.
        FunctionArguments::List(_) if grammar.is_some_and(|name| GRAMMAR.contains(&name) || BARE.contains(&name)) => {
            Ok(())
        }
        FunctionArguments::List(_) => check_name(name),
    }
}

/// Whether a value may be cast to a type.
fn check_type(data_type: &DataType) -> Result<(), String> {
    let written = data_type.to_string().to_ascii_lowercase();
    let mut plain = String::new();
    let mut depth = 0_usize;
    for sign in written.chars() {
        match sign {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(sign),
            _ => {}
        }
    }
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = plain.strip_prefix("pg_catalog.").unwrap_or(&plain);
    // `interval day to second`
    let is_interval = plain.starts_with("interval ");
    if TYPES.contains(&plain) || is_interval {
        Ok(())
    } else {
        refuse(format!(
            "nothing is cast to `{}` in a query: cast to text, numeric, timestamptz or another type of data",
            written.escape_debug()
        ))
    }
}

fn check_expression(expression: &Expr) -> Result<(), String> {
    match expression {
        Expr::Function(function) => check_function(function),
        Expr::Cast { kind: _, expr: _, data_type, format: None } => check_type(data_type),
        Expr::TypedString(typed) if !typed.uses_odbc_syntax => check_type(&typed.data_type),
        Expr::Identifier(name)
            if name.quote_style.is_none() && WHO.contains(&name.value.to_ascii_lowercase().as_str()) =>
        {
            Err(uncallable(&name.value))
        }
        Expr::Value(value) => match value.value {
            Value::Placeholder(_) => refuse("a query has no parameters: write the value"),
            _ => Ok(()),
        },
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::CompoundFieldAccess { .. }
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::IsJson { .. }
        | Expr::IsNormalized { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Between { .. }
        | Expr::BinaryOp { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::SimilarTo { .. }
        | Expr::AnyOp { .. }
        | Expr::AllOp { .. }
        | Expr::UnaryOp { .. }
        | Expr::AtTimeZone { .. }
        | Expr::Extract { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::Position { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::Overlay { .. }
        | Expr::Collate { .. }
        | Expr::Nested(_)
        | Expr::Case { .. }
        | Expr::Exists { .. }
        | Expr::Subquery(_)
        | Expr::GroupingSets(_)
        | Expr::Cube(_)
        | Expr::Rollup(_)
        | Expr::Tuple(_)
        | Expr::Array(_)
        | Expr::Interval(_)
        | Expr::Wildcard(_)
        | Expr::QualifiedWildcard(..) => Ok(()),
        _ => refuse(OTHERS),
    }
}

fn go_on(checked: Result<(), String>) -> ControlFlow<String> {
    checked.map_or_else(ControlFlow::Break, ControlFlow::Continue)
}

impl Visitor for Walls<'_> {
    type Break = String;

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<String> {
        // The walk begins at the query: what is met inside is an INSERT, an UPDATE, a DELETE.
        ControlFlow::Break(READS_ONLY.to_owned())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        go_on(self.query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        go_on(check_select(select))
    }

    fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<String> {
        self.tables += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        go_on(self.factor(factor))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<String> {
        go_on(check_expression(expression))
    }
}
