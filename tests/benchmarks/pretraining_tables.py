"""The results of pretraining_side_by_side as Markdown tables, and what was to hold."""

import statistics

BILM, SIMPLE_ELMO = "bilm", "simple-elmo"
OURS = "keras_elmo"
SHARED, INDEPENDENT = f"{OURS}, shared sentences", f"{OURS}, AI2's streams"
MIXED = f"{OURS}, shared sentences, mixed_bfloat16"
WAYS = (BILM, SIMPLE_ELMO, SHARED, INDEPENDENT, MIXED)
ZERO, TRAINING = "zero states", "the states of training"
FIGURES = ("forward", "backward", "geometric_mean")
MOST_PERPLEXITY, MOST_MEMORY = 1.02, 1.0
LEAST_SPEED = {SHARED: 4.0, MIXED: 6.0}


def quality_table(results, start):
    """Lines of the table, and the ratio of the mean perplexities or None."""
    found = {
        (result["who"], result["seed"]): result
        for result in results
        if result["part"] == "quality" and result["start"] == start
    }
    seeds = sorted({seed for _, seed in found if (OURS, seed) in found})
    seeds = [seed for seed in seeds if (BILM, seed) in found]
    if not seeds:
        return [], None
    lines = [
        "| seed | bilm forward | backward | geometric mean "
        f"| {OURS} forward | backward | geometric mean | {OURS} / bilm |",
        "| --- " * 8 + "|",
    ]
    for seed in seeds:
        sides = found[BILM, seed], found[OURS, seed]
        cells = [f"{side[name]:,.1f}" for side in sides for name in FIGURES]
        ratio = sides[1]["geometric_mean"] / sides[0]["geometric_mean"]
        lines.append(f"| {seed} | {' | '.join(cells)} | {ratio:.3f} |")
    means = {
        (who, name): statistics.mean(found[who, seed][name] for seed in seeds)
        for who in (BILM, OURS)
        for name in FIGURES
    }
    ratio = means[OURS, "geometric_mean"] / means[BILM, "geometric_mean"]
    cells = " | ".join(f"{value:,.1f}" for value in means.values())
    return [*lines, f"| mean | {cells} | {ratio:.3f} |"], ratio


def speed_table(results):
    """Lines of the table, and by way the ratios (speed, memory) or None."""
    found = {way: [] for way in WAYS}
    for result in results:
        if result["part"] == "speed":
            found[result["who"]].append(result)
    if not all(found.values()):
        return [], None
    speeds, memory = (
        {way: [r[name] for r in rounds] for way, rounds in found.items()}
        for name in ("tokens_per_s", "peak_mib")
    )
    fastest = max(statistics.median(speeds[way]) for way in (BILM, SIMPLE_ELMO))
    least = statistics.median(memory[BILM])
    ratios = {
        way: (
            statistics.median(speeds[way]) / fastest,
            statistics.median(memory[way]) / least,
        )
        for way in WAYS
    }
    lines = [
        "| training | tokens/s | of the fastest peer | peak MiB | of bilm |",
        "| --- " * 5 + "|",
    ]
    for way, (speed, size) in ratios.items():
        lines.append(
            f"| {way} | {_spread(speeds[way])} | {speed:.2f} "
            f"| {_spread(memory[way])} | {size:.2f} |"
        )
    return lines, ratios


def _spread(values):
    middle = statistics.median(values)
    return f"{middle:.0f} [{min(values):.0f}, {max(values):.0f}]"


def verdicts(perplexity, ratios):
    """What was to hold of the tables' ratios, each with whether it did."""
    for start, ratio in perplexity.items():
        if ratio is not None:
            yield (
                ratio <= MOST_PERPLEXITY,
                f"perplexity from {start}: {ratio:.3f} of bilm's, expected at most "
                f"{MOST_PERPLEXITY}",
            )
    if ratios is not None:
        for way, least in LEAST_SPEED.items():
            speed = ratios[way][0]
            yield (
                speed >= least,
                f"{way}: {speed:.2f} times the fastest peer's speed, expected at least "
                f"{least}",
            )
        for way in (SHARED, INDEPENDENT):
            memory = ratios[way][1]
            yield (
                memory <= MOST_MEMORY,
                f"{way}: memory {memory:.2f} of bilm's, expected at most {MOST_MEMORY}",
            )
