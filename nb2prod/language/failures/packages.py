"""Which package brings a module: `import cv2` needs `opencv-python`.

Only what is known stands here. For any other module no package is proposed: the one that happens to have its name may
be another's, or a trap.
"""

from __future__ import annotations

DIFFERENT: dict[str, str] = {
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "Image": "pillow",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
    "BeautifulSoup": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "docx": "python-docx",
    "pptx": "python-pptx",
    "fitz": "pymupdf",
    "serial": "pyserial",
    "usb": "pyusb",
    "zmq": "pyzmq",
    "jwt": "pyjwt",
    "git": "gitpython",
    "github": "pygithub",
    "gitlab": "python-gitlab",
    "magic": "python-magic",
    "Levenshtein": "levenshtein",
    "Bio": "biopython",
    "MySQLdb": "mysqlclient",
    "psycopg2": "psycopg2-binary",
    "pymssql": "pymssql",
    "OpenSSL": "pyopenssl",
    "attr": "attrs",
    "umap": "umap-learn",
    "hdbscan": "hdbscan",
    "imblearn": "imbalanced-learn",
    "skopt": "scikit-optimize",
    "skbio": "scikit-bio",
    "sksurv": "scikit-survival",
    "surprise": "scikit-surprise",
    "sklearn_pandas": "sklearn-pandas",
    "sklearn_crfsuite": "sklearn-crfsuite",
    "mlxtend": "mlxtend",
    "fbprophet": "prophet",
    "pmdarima": "pmdarima",
    "pyramid.arima": "pmdarima",
    "community": "python-louvain",
    "igraph": "igraph",
    "graphviz": "graphviz",
    "pydot": "pydot",
    "pydotplus": "pydotplus",
    "pandas_profiling": "ydata-profiling",
    "ydata_profiling": "ydata-profiling",
    "pandas_datareader": "pandas-datareader",
    "pandas_gbq": "pandas-gbq",
    "pandas_ta": "pandas-ta",
    "talib": "TA-Lib",
    "kaggle_environments": "kaggle-environments",
    "category_encoders": "category_encoders",
    "lightgbm": "lightgbm",
    "tensorflow_hub": "tensorflow-hub",
    "tensorflow_datasets": "tensorflow-datasets",
    "tensorflow_probability": "tensorflow-probability",
    "tensorflow_addons": "tensorflow-addons",
    "keras_tuner": "keras-tuner",
    "kerastuner": "keras-tuner",
    "pytorch_lightning": "pytorch-lightning",
    "torch_geometric": "torch-geometric",
    "transformers": "transformers",
    "sentence_transformers": "sentence-transformers",
    "huggingface_hub": "huggingface-hub",
    "faiss": "faiss-cpu",
    "pyspark": "pyspark",
    "databricks.sdk": "databricks-sdk",
    "google.protobuf": "protobuf",
    "google.cloud.storage": "google-cloud-storage",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.aiplatform": "google-cloud-aiplatform",
    "google.auth": "google-auth",
    "google.oauth2": "google-auth",
    "googleapiclient": "google-api-python-client",
    "azure.storage.blob": "azure-storage-blob",
    "azure.identity": "azure-identity",
    "ruamel.yaml": "ruamel.yaml",
    "mpl_toolkits.basemap": "basemap",
    "mpl_finance": "mplfinance",
    "wordcloud": "wordcloud",
    "speech_recognition": "SpeechRecognition",
    "telegram": "python-telegram-bot",
    "pkg_resources": "setuptools<81",
    "IPython.parallel": "ipyparallel",
    "Xlib": "python-xlib",
    "lightfm": "lightfm",
    "rdkit": "rdkit",
    "osgeo": "GDAL",
    "gdal": "GDAL",
    "shap": "shap",
    "eli5": "eli5",
}
SAME = frozenset(
    str.split(
        "accelerate aiohttp altair arviz astropy autogluon bambi bokeh boto3 bqplot catboost causalml cartopy "
        "chardet click cloudpickle contextily cupy cvxpy cython dash dask datasets datashader deap deepchecks "
        "diffusers distributed dlib duckdb econml elasticsearch emcee evaluate evidently fairlearn fastai fastapi "
        "fastparquet feather fiona flask folium fsspec ftfy fuzzywuzzy gensim geopandas geopy geoplot ggplot "
        "gluonts gradio gspread gym gymnasium h2o h5py holoviews httpx hvplot hyperopt imageio implicit ipyleaflet "
        "ipympl ipyparallel ipywidgets isodate jax jaxlib jieba joblib jsonlines kaggle keras kneed langchain "
        "langdetect librosa lifelines lightning lime llvmlite lxml matplotlib missingno mlflow mplfinance mysql "
        "nbformat nevergrad networkx nibabel nltk numba numexpr numpy onnx onnxruntime openai openpyxl optuna "
        "orjson pandas pandasql pandera papermill patsy peft pingouin plotly plotnine polars praw prettytable "
        "prince prophet psutil psycopg pulp pyarrow pycaret pycountry pydantic pyecharts pygwalker pyhive pylab "
        "pymc pymc3 pymongo pyod pyodbc pyproj pystan pytest pytz pyvis pywt qgrid rapidfuzz rasterio ray redis "
        "regex requests rich rioxarray rpy2 sacremoses salib scipy scrapy seaborn selenium sentencepiece shapely "
        "simpy six sktime snowflake spacy squarify sqlalchemy statsmodels streamlit sweetviz swifter sympy tables "
        "tabula tabulate tensorboard tensorflow textblob thinc tiktoken timm tokenizers torch torchaudio torchtext "
        "torchvision tqdm trimesh tslearn tsfresh tweepy unidecode vaderSentiment vega vega_datasets wandb wget "
        "wikipedia xarray xgboost xlrd xlsxwriter yellowbrick yfinance zarr"
    )
) - {"mysql", "pylab", "snowflake"}
# modules that come with a hosted notebook and cannot be installed elsewhere
HOSTED: dict[str, str] = {
    "google.colab": "Google Colab",
    "kaggle_secrets": "Kaggle",
    "kaggle_datasets": "Kaggle",
    "dbutils": "Databricks",
    "notebookutils": "Microsoft Fabric",
}
_OWN_NAME = {"tables": "tables", "feather": "feather-format", "salib": "SALib", "wget": "wget"}


def package_of(module: str) -> str:
    """The package that brings a module (dotted, the longest known part counts); empty when it is not known."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        known = DIFFERENT.get(".".join(parts[:length]))
        if known:
            return known
    top = parts[0]
    return _OWN_NAME.get(top, top) if top in SAME else ""


def hosted(module: str) -> str:
    """The hosted service that alone has the module; empty when there is none."""
    return next((where for name, where in HOSTED.items() if f"{module}.".startswith(f"{name}.")), "")
