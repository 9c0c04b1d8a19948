from node.observability.metrics import Metrics


def sample(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name)


def test_counters_and_histograms_stand_in_the_exposition() -> None:
    metrics = Metrics("1.2.3", "validator")
    metrics.blocks_imported.inc(3)
    metrics.loop_delay_seconds.observe(0.02)
    text = metrics.exposition().decode()
    assert "phoenix_blocks_imported_total 3.0" in text
    assert 'phoenix_loop_delay_seconds_bucket{le="0.025"} 1.0' in text
    assert 'phoenix_build_info{role="validator",version="1.2.3"} 1.0' in text


def test_gauge_is_read_at_each_scrape() -> None:
    metrics, head = Metrics("0", "full"), [1]
    metrics.read_at_scrape("head_number", "Number of the head.", lambda: head[0])
    assert sample(metrics, "phoenix_head_number") == 1
    head[0] = 2
    assert sample(metrics, "phoenix_head_number") == 2


def test_two_nodes_in_one_process_do_not_share_numbers() -> None:
    one, other = Metrics("0", "full"), Metrics("0", "full")
    one.reorganisations.inc()
    assert sample(other, "phoenix_reorganisations_total") == 0
