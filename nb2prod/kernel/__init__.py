"""What happens inside the kernel, beside the notebook's code: a step's values kept, a test cell run, a call's run set.

The magics use it live and the engines use it headless, so that both do the same. It imports heavy libraries only when
the notebook's own values need them.
"""
