"""The regression gate: reports judged against baselines and budgets."""
