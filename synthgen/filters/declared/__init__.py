"""Check fields as a task declares under `checks:`. Each kind of check has its own file and is listed in `kinds`.

These checks examine one sample alone. Checks that compare samples or ask a model are in other packages.
"""
