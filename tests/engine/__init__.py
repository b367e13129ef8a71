"""Tests of `engine/`. The tests of a module are in the file of its name, except these:

engine/book/                   test_book.py, test_book_page.py, test_book_stress.py, test_memory.py, test_walk.py
engine/core/, engine/reference/    both engines at once: test_twin.py, test_twins.py, test_examples.py, test_machine.py;
    agenda                     test_bounds.py, test_long_scene.py
    money                      test_fees.py, test_extremes.py
    report                     test_dump.py, query_parity.py
engine/declarations.py         test_records.py
engine/library*.py             test_library.py
engine/journal/                test_journal.py, test_append_contract.py, test_chain.py, test_streams.py, test_marks.py
engine/process/, engine/service/   test_service.py
"""
