"""The transformer does what scikit-learn asks of one, and its numbers are ours."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import multilode as ml
from driven import salt
from multilode.engines.sklearn import FeatureTransformer
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals

BASIS = GaussianTypeOrbitals(2, 3.0)
FIELDS = {
    "rho": FieldExpansion(GaussianDensity(0.6), BASIS, 1, neighbor_cutoff=3.0),
    "V": FieldExpansion(SmearedPotential(1.2, 1.0), BASIS, 1),
}
IMAGES = [salt("molecule", seed=k) for k in range(6)]
IMAGES[2] = IMAGES[2][:3]


@pytest.mark.parametrize("pool", ["sum", "mean", "atom"])
def test_rows_are_the_features_of_a_representation(pool):
    made = FeatureTransformer("rho*rho + rho*V", fields=FIELDS, pool=pool)
    found = made.fit_transform(IMAGES)
    own = ml.features("rho*rho + rho*V", **FIELDS).for_structures(IMAGES).compute(IMAGES)
    rows = own.joined().numpy()
    if pool != "atom":
        parts = np.split(rows, np.cumsum([len(image) for image in IMAGES])[:-1])
        rows = np.array([getattr(part, pool)(axis=0) for part in parts])
    np.testing.assert_allclose(found, rows, rtol=1e-12, atol=1e-14)
    names = made.get_feature_names_out()
    assert len(set(names)) == found.shape[1]
    assert names[0] == "rho*rho species_1=11 n_1=0 species_2=11 n_2=0 l=0"


def test_a_pipeline_learns_and_is_searched():
    y = np.array([image.get_all_distances().sum() for image in IMAGES])
    pipeline = make_pipeline(
        FeatureTransformer("rho*V", fields=FIELDS), StandardScaler(), Ridge(alpha=1e-6)
    )
    search = GridSearchCV(pipeline, {"featuretransformer__pool": ["sum", "mean"]}, cv=2)
    search.fit(IMAGES, y)
    np.testing.assert_allclose(search.predict(IMAGES), y, rtol=0.05)


def test_clones_have_the_settings_and_not_the_fit():
    made = FeatureTransformer("rho*V", fields=FIELDS, pool="mean").fit(IMAGES)
    other = clone(made).set_params(pool="atom")
    assert other.get_params() == {**made.get_params(), "pool": "atom"}
    assert made.pool == "mean"
    with pytest.raises(NotFittedError):
        other.transform(IMAGES)
    assert made.transform([]).shape == (0, made.transform(IMAGES).shape[1])


def test_wrong_settings_are_told_when_it_is_fitted():
    with pytest.raises(ValueError, match="pool is 'max'; use one of 'sum', 'mean', 'atom'"):
        FeatureTransformer(pool="max").fit(IMAGES)
    with pytest.raises(ValueError, match="give at least one structure"):
        FeatureTransformer().fit([])


# those of scikit-learn's own checks that hand over no arrays of numbers, which are no structures
@pytest.mark.parametrize(
    "name",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_get_params_invariance",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_it_passes_the_checks_of_scikit_learn(name):
    names = [one for one in dir(estimator_checks) if one.startswith(name)]
    if not names:
        pytest.skip(f"this version of scikit-learn has no {name}")
    getattr(estimator_checks, names[0])("FeatureTransformer", FeatureTransformer())
