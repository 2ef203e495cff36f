"""How MLflow calls a model that is no scikit-learn estimator: the object is loaded, and its `predict` is called."""

import warnings

import cloudpickle
import mlflow.models
import mlflow.pyfunc

with warnings.catch_warnings():
    # MLflow advises type hints, from which it would make a signature; the package has one from the example
    warnings.simplefilter("ignore", UserWarning)

    class NotebookModel(mlflow.pyfunc.PythonModel):
        def load_context(self, context):
            with open(context.artifacts["model"], "rb") as file:
                self.model = cloudpickle.load(file)

        def predict(self, context, model_input, params=None):
            return self.model.predict(model_input)


mlflow.models.set_model(NotebookModel())
