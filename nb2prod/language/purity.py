"""Methods that are known to leave their object as it is. Every other method may change it.

The list is a promise, so it is short: a method stands here only when no type that a notebook commonly holds (pandas,
numpy, scikit-learn, text, containers) changes its object in a method of that name, apart from `inplace=` and `out=`,
which `names` looks for itself. A method that is missing costs a needless edge; one too many costs a wrong result.
"""

from __future__ import annotations

WORDS = """
- frames and series:
abs agg aggregate all any apply applymap asfreq assign astype at_time between bfill clip combine_first copy corr
corrwith count cov cummax cummin cumprod cumsum describe diff div dot drop drop_duplicates dropna dtypes duplicated
eq equals ewm expanding explode ffill fillna filter first_valid_index floordiv from_records ge get groupby gt head
hist idxmax idxmin info interpolate isin isna isnull items iterrows itertuples join keys kurt last_valid_index le
loc lt map mask max mean median melt memory_usage merge min mod mode mul ne nlargest notna notnull nsmallest nunique
pct_change pivot pivot_table plot pow prod quantile query rank reindex rename reset_index rolling round
select_dtypes sem set_axis set_index shift size skew sort_index sort_values squeeze stack std sub sum tail
to_csv to_dict to_frame to_json to_list to_markdown to_numpy to_parquet to_string tolist transpose truncate unique
unstack value_counts values var where xs between_time day_name dt_floor floor ceil strftime
- arrays:
argmax argmin argsort conj flatten nonzero ptp ravel repeat reshape searchsorted swapaxes take trace
- fitted estimators:
predict predict_proba predict_log_proba decision_function score transform inverse_transform get_params
get_feature_names_out
- text and numbers:
capitalize casefold center decode encode endswith expandtabs find format isalnum isalpha isascii isdecimal isdigit
isidentifier islower isnumeric isprintable isspace istitle isupper ljust lower lstrip partition removeprefix
removesuffix rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title upper
zfill as_integer_ratio bit_length is_integer hex isoformat date total_seconds timestamp
- containers and paths:
index intersection isdisjoint issubset issuperset symmetric_difference exists is_dir is_file read_text
read_bytes resolve with_name with_suffix relative_to as_posix joinpath
"""
PURE: frozenset[str] = frozenset(
    word for line in WORDS.splitlines() if not line.startswith("-") for word in line.split()
)


def changes_nothing(method: str) -> bool:
    return method in PURE
