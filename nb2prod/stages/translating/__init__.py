"""A fitted scikit-learn model as an ONNX graph, computed in the model's own precision.

A model is followed from its columns to its answer (`follow`): the notebook's own functions by calling them with a table
that writes down what is done to it (`tables`), the estimators people use most by a rule each (`features`, `text`,
`linear`, `trees`), and every other one by skl2onnx (`others`). All of them add to one `graph`. Nothing is guessed: what
cannot be followed raises `Untranslatable` with the reason, and what was followed is compared afterwards
(`nb2prod.stages.translate`).

Why not skl2onnx for all of it: it computes in single precision wherever an operator of ONNX does, merges integer and
real columns by the type of the first, and does not know the notebook's functions. The rules here compute as
scikit-learn does: in double precision, with the narrowing to single precision where trees have it.
"""
