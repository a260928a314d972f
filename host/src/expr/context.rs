//! Which functions expressions may call, and how DataFusion's planner finds them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{
    AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF,
};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_functions_nested::planner::{FieldAccessPlanner, NestedFunctionPlanner};

use super::{aggregate_call, functions};

/// Functions that make no sense in a stream of flat rows: they make structs, maps and unions, name
/// files, or cast without our row-safety.
const LEFT_OUT: &[&str] = &[
    "arrow_cast",
    "arrow_field",
    "arrow_metadata",
    "arrow_try_cast",
    "cast_to_type",
    "file_row_index",
    "get_field",
    "input_file_name",
    "make_time",
    "map",
    "map_entries",
    "map_extract",
    "map_keys",
    "map_values",
    "named_struct",
    "struct",
    "to_local_time",
    "to_time",
    "try_cast_to_type",
    "union_extract",
    "union_tag",
    "version",
    "with_metadata",
];

/// Names of clock functions that DataFusion does not know, for a better message.
const OTHER_CLOCKS: &[&str] =
    &["clock_timestamp", "getdate", "localtime", "localtimestamp", "sysdate", "unix_timestamp"];

/// All functions, found once.
pub(super) static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// The functions an expression may call.
pub(super) struct Registry {
    by_name: BTreeMap<String, Arc<ScalarUDF>>,
    refused: BTreeMap<String, &'static str>,
    groups: Vec<(&'static str, Vec<String>)>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

impl Registry {
    fn new() -> Self {
        let sources: Vec<(&'static str, Vec<Arc<ScalarUDF>>)> = vec![
            ("conditions", datafusion_functions::core::functions()),
            ("numbers", datafusion_functions::math::functions()),
            ("text", datafusion_functions::string::functions()),
            ("text", datafusion_functions::unicode::functions()),
            ("regular expressions", datafusion_functions::regex::functions()),
            ("time", datafusion_functions::datetime::functions()),
            ("lists", datafusion_functions_nested::all_default_nested_functions()),
            // Ours last: they replace what has the same name.
            ("text", functions::text()),
            ("time", functions::time()),
        ];
        let mut registry = Self {
            by_name: BTreeMap::new(),
            refused: OTHER_CLOCKS.iter().map(|name| ((*name).to_owned(), CLOCK)).collect(),
            groups: Vec::new(),
            planners: vec![
                Arc::new(CoreFunctionPlanner::default()),
                Arc::new(DatetimeFunctionPlanner),
                Arc::new(UnicodeFunctionPlanner),
                Arc::new(NestedFunctionPlanner),
                Arc::new(FieldAccessPlanner),
            ],
            options: ConfigOptions::default(),
        };
        for (group, functions) in sources {
            for function in functions {
                registry.add(group, &function);
            }
        }
        for (_, names) in &mut registry.groups {
            names.sort_unstable();
            names.dedup();
        }
        registry
    }

    fn add(&mut self, group: &'static str, function: &Arc<ScalarUDF>) {
        if LEFT_OUT.contains(&function.name()) {
            return;
        }
        let names = std::iter::once(function.name())
            .chain(function.aliases().iter().map(String::as_str))
            .map(str::to_owned);
        match function.signature().volatility {
            Volatility::Immutable => {
                for name in names {
                    self.by_name.insert(name, Arc::clone(function));
                }
                match self.groups.iter_mut().find(|(known, _)| *known == group) {
                    Some((_, names)) => names.push(function.name().to_owned()),
                    None => self.groups.push((group, vec![function.name().to_owned()])),
                }
            }
            Volatility::Stable => self.refused.extend(names.map(|name| (name, CLOCK))),
            Volatility::Volatile => self.refused.extend(names.map(|name| (name, RANDOM))),
        }
    }

    /// Returns the function `name` (lower case).
    pub(super) fn get(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.by_name.get(name)
    }

    /// Returns why the function `name` is refused, when it is known and refused.
    pub(super) fn refusal(&self, name: &str) -> Option<&'static str> {
        self.refused.get(name).copied()
    }

    /// Returns all names and aliases of scalar functions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

const CLOCK: &str = "it reads the clock";
const RANDOM: &str = "it gives another result each time";

/// Returns the names of all functions by group, aggregates last. For documentation.
pub fn supported_functions() -> Vec<(&'static str, Vec<String>)> {
    let mut groups = REGISTRY.groups.clone();
    let aggregates = aggregate_call::SUPPORTED_AGGREGATES.iter().map(|name| (*name).to_owned());
    groups.push(("aggregates", aggregates.collect()));
    groups
}

impl ContextProvider for Registry {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("an expression cannot read the table {name}")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
