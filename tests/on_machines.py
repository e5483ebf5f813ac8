"""The model machine's tests that run on the native machine, too: those that say what programs and
maps do, and nothing of what the model alone can see (memory errors, lives, states, the order of
keys)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

#: The ways to run programs, as `bpfheap.Runtime` is told.
MACHINES: Mapping[str, dict[str, Any]] = {
    "model": {"machine": "model"},
    "interpreted": {"machine": "native", "jit": False},
    "compiled": {"machine": "native", "jit": True},
    "hardened": {"machine": "native", "jit": True, "hardened": True},
    "hardened, interpreted": {"machine": "native", "jit": False, "hardened": True},
}


def why_not(options: Mapping[str, Any]) -> str | None:
    """Why programs cannot be run that way here; None if they can."""
    needs = ["bpfheap.machine.native._core"] if options["machine"] == "native" else []
    needs += ["llvmlite"] if options.get("jit") else []
    return next((f"there is no {name}" for name in needs if find_spec(name) is None), None)


#: By file, test_model_NAME.py.
SHARED = {
    "calls": """
        test_an_execution_stops_before_each_call test_callbacks_stop_too test_loop
        test_loop_has_a_limit test_each_execution_has_its_cpu test_references_to_nothing
        test_formats test_formats_that_are_refused test_printk test_printk_of_a_string
        test_printk_of_a_string_that_is_not_there
        test_vprintk_takes_words_from_memory test_vprintk_of_nothing
    """,
    "control": """
        test_an_element_changes_under_its_pointer
        test_the_bytes_of_an_iterator_can_be_used_again
    """,
    "control_c": "test_on_the_model_machine",
    "graph": """
        test_lists_have_two_ends test_what_is_seen_may_be_changed test_trees_are_ordered
        test_a_node_is_not_in_the_tree_while_its_place_is_looked_for
        test_an_object_can_be_in_a_list_and_a_tree test_a_node_is_in_one_at_most test_counted
        test_objects_go_with_their_map test_objects_go_when_their_value_is_updated
        test_shared_objects_stay_with_their_other_owner
        test_what_came_out_of_a_freed_list_can_go_into_another
        test_objects_go_with_a_deleted_element
    """,
    "locked_update": "test_an_update_waits_for_the_lock",
    "locks": """
        test_proper_use test_maps_without_locks test_a_node_in_a_value_is_bytes
        test_a_map_with_two_locks_cannot_be_made
    """,
    "maps": """
        test_updates_from_user_space test_a_value_of_another_size_is_refused
        test_deletes_that_fail test_arrays_are_full_of_zeros test_each_cpu_has_its_own_value
        test_a_program_updates_its_own_cpu test_maps_of_maps test_maps_of_maps_refuse
        test_a_ring_buffer_keeps_order_until_it_is_full test_an_update_frees_what_the_value_held
        test_unknown_ids_are_usage_errors test_maps_that_cannot_be
    """,
    "oracle": "test_what_linux_accepts_keeps_the_rules",
    "packets": """
        test_on_the_model_machine test_no_packet_has_no_bytes test_frames_that_cannot_be
    """,
    "percpu": "test_each_cpu_counts_for_itself test_the_copies_are_shown",
    "tail_calls": """
        test_goes_over_or_on test_there_is_an_end_to_them
        test_user_space_puts_programs_in_and_takes_them_out
    """,
    "unowned": "test_the_object_can_be_read test_a_write_where_memory_stays_is_allowed",
}


def is_shared(module: str, test: str) -> bool:
    """Whether a test of a module is one of them."""
    return test in SHARED.get(module.removeprefix("test_model_"), "").split()
