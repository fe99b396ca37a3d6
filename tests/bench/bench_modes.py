"""The auto mode over rows x deadline x model, as a table. Run: python tests/bench/bench_modes.py [least_saving_usd]"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.mode_table import DEADLINES_HOURS, MODELS, ROWS, best_by_trying, estimate_of, facts_of

from airflow_provider_bedrock_llm.core.mode_choice import choose_mode


def main(least_saving_usd: float = 1.0) -> None:
    head = "".join(f"{'any time' if hours is None else f'{hours:g} h':>12}" for hours in DEADLINES_HOURS)
    print(f"{'model':24}{'rows':>10}{head}   cheapest choice, USD (on demand)")
    wrong = 0
    for model, prices in MODELS.items():
        for rows in ROWS:
            estimate, facts = estimate_of(rows), facts_of(prices)
            cells, cheapest = "", None
            for hours in DEADLINES_HOURS:
                seconds = None if hours is None else hours * 3600
                plan = choose_mode(estimate, facts, deadline_seconds=seconds, least_saving_usd=least_saving_usd)
                wrong += plan.choice != best_by_trying(rows, hours, prices, least_saving_usd)
                cheapest = cheapest or plan
                cells += f"{plan.choice:>12}"
            paid, full = cheapest.chosen.usd, cheapest.offers[0].usd
            money = "not known" if paid is None else f"{paid.likely:,.2f} ({full.likely:,.2f})"
            print(f"{model:24}{rows:>10,}{cells}   {money}")
    print(f"{wrong} choices differ from the brute-force oracle")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
