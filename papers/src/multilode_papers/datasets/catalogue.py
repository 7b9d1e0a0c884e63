"""The data sets of the papers, one row each: origin, targets, caveats, and what the paper had."""

from pathlib import Path

from multilode.datasets import Collection, Entry

_LODE_2019 = "Grisafi, Ceriotti, J. Chem. Phys. 151, 204105 (2019), doi:10.1063/1.5128375"
_LODE_2021 = (
    "Grisafi, Nigam, Ceriotti, Chem. Sci. 12, 2078 (2021), doi:10.1039/D0SC04934D, here [2021]"
)
_TENSORS_2018 = (
    "Grisafi, Wilkins, Csányi, Ceriotti, Phys. Rev. Lett. 120, 036002 (2018); "
    "github.com/dilkins/TENSOAP, example/{} (LGPL-3)"
)


_MADE: dict[str, Entry] = {
    "point-charges": Entry(
        description="boxes of 64 random charges of +1 and -1 e, at least 2.5 Å apart",
        origin="made by us",
        make="multilode_papers.makers.point_charges:make",
        level="Ewald sum (LAMMPS), Coulomb constant 14.399645 eV Å",
        targets={"ewald_energy": "eV", "ewald_forces": "eV/Å"},
        paper="2019, Fig. 1: 1500 boxes for training and 500 for the test, as here",
        structures=2000,
        caveat="energies are right to 5e-5 eV, forces to 2e-6 eV/Å (an independent Ewald sum); "
        "the training set is shuffled, take the first n for learning curves",
        citation=_LODE_2019,
    ),
    "dimers": Entry(
        description="binding curves of organic dimers in the six classes CC CP CA PP PA AA",
        origin="made by us",
        make="multilode_papers.makers.dimers:make",
        level="HF/def2-SVPD + D3(BJ), no counterpoise correction (PySCF, dftd3), rigid molecules",
        targets={"interaction_energy": "eV"},
        paper="2021, Table 1: 184 CC, 267 CP, 210 CA, 161 PP, 418 PA, 1051 AA dimers of the "
        "BioFragment Database at 13 distances, PBE0 + TS; 2019, Fig. 2: 661 charged dimers, B3LYP",
        structures=3913,
        caveat="our own small molecules, not those of the papers; right tails, but near contact "
        "the level is 0.007 to 0.09 eV from CCSD(T), RMSE by class: compare ratios between models, "
        "not absolute errors",
        citation=_LODE_2021,
    ),
    "neutral-dimers": Entry(
        description="binding curves of neutral dimers in the classes PP, PA and AA",
        origin="made by us",
        make="multilode_papers.makers.neutral_dimers:make",
        level="GFN2-xTB (tblite), rigid molecules",
        targets={"interaction_energy": "eV"},
        paper="2021, Table 1: 161 PP, 418 PA, 1051 AA dimers, of which 100, 350 and 950 for "
        "training; the same numbers here, PBE0 + TS there",
        structures=21190,
        caveat="a semiempirical method: near contact its curves look like others, but beyond 13 Å "
        "PA and AA decay about as R^-4 instead of R^-6 (up to 0.04 meV at 25 Å)",
        citation=_LODE_2021,
    ),
    "relaxed-dimers": Entry(
        description="binding curves near minima in the classes CC, CP and CA",
        origin="made by us",
        make="multilode_papers.makers.relaxed_dimers:make",
        level="HF/def2-SVPD + D3(BJ), no counterpoise correction (PySCF, dftd3), rigid molecules",
        targets={"interaction_energy": "eV"},
        paper="2021, Table 1: 184 CC, 267 CP, 210 CA dimers, of which 100, 200 and 150 for "
        "training; 7 distances here, 13 there",
        structures=3941,
        caveat="test dimers are other orientations of the same fifteen molecules",
        citation=_LODE_2021,
    ),
    "relaxed-neutral-dimers": Entry(
        description="binding curves near minima in the classes PP, PA and AA",
        origin="made by us",
        make="multilode_papers.makers.relaxed_neutral_dimers:make",
        level="GFN2-xTB (tblite), rigid molecules",
        targets={"interaction_energy": "eV"},
        paper="2021, Table 1: 161 PP, 418 PA, 1051 AA dimers, of which 100, 350 and 950 for "
        "training, as here; PBE0 + TS there",
        structures=22763,
        caveat="a semiempirical method, see 'neutral-dimers'; test dimers are other orientations "
        "of the same fifteen molecules",
        citation=_LODE_2021,
    ),
    "lithium-water": Entry(
        description="water above a lithium (100) slab, periodic in two dimensions",
        origin="made by us, MODEL DATA",
        make="multilode_papers.makers.lithium_water:make",
        level="constant-potential electrode of Gaussian charges and polarisable flexible water",
        targets={"interaction_energy": "eV", "polarization": "e Å"},
        paper="2021, Figs. 7-8: 81 molecules at 31 heights of 0.5 to 8 Å, PBE, 13 layers",
        structures=2511,
        caveat="MODEL DATA, not quantum chemistry: image charges, tangential response and "
        "back-reaction are those of a classical metal",
        citation=_LODE_2021,
    ),
    "polypeptides": Entry(
        description="polarizabilities of amino acids and of peptides of two to five residues",
        origin="made by us, MODEL DATA",
        make="multilode_papers.makers.polypeptides:make",
        level="D4 atomic polarizabilities with self-consistent dipole screening, RDKit conformers",
        targets={"polarizability": "bohr^3"},
        paper="2021, Figs. 9-10: 27428 amino acids and 370 dipeptides for training; 30 di-, "
        "20 tri-, 16 tetra- and 10 pentapeptides for the test, PWPB95-D3/aug-cc-pVDZ",
        structures=27874,
        caveat="MODEL DATA, not quantum chemistry",
        citation=_LODE_2021,
    ),
    "water-dielectric": Entry(
        description="dielectric response of boxes of 32 water molecules",
        origin="made by us, MODEL DATA",
        make="multilode_papers.makers.water_dielectric:make",
        level="one point polarizability per molecule, dipoles coupled through the periodic box; "
        "flexible SPC/Fw water",
        targets={"epsilon": ""},
        paper="2019, Fig. 3: 800 boxes for training and 200 for the test, DFT",
        structures=1000,
        caveat="MODEL DATA, not quantum chemistry; the paper's own set is 'bulk-water'",
        citation=_LODE_2019,
    ),
}

_THIRD_PARTY: dict[str, Entry] = {
    "bulk-water": Entry(
        description="dielectric tensor of boxes of 32 water molecules, the set of the paper",
        origin="third-party",
        level="DFT, see the source",
        targets={"epsilon": "", "alpha": "Å^3"},
        paper="2019, Fig. 3: these boxes, 800 for training and 200 for the test",
        structures=1000,
        caveat="the paper's own split is not known; do not learn 'mu', it is multivalued",
        citation=_TENSORS_2018.format("water_bulk"),
        folder="bulk_water",
        files=("bulk_water.xyz.gz",),
    ),
    "charged-curves": Entry(
        description="binding curves of ten charged dimers at 13 distances, with forces",
        origin="third-party",
        level="PBE0 + Tkatchenko-Scheffler (FHI-aims) according to [2021]",
        targets={"interaction_energy": "eV", "ref_forces": "eV/Å"},
        paper="2021: the first ten of 184 CC dimers",
        structures=130,
        caveat="dimer_id 0 (001ARG-005ASP-1) does not tend to zero and lies 1.06 eV above CCSD(T) "
        "('side-chain-dimers'); leave it out or fit a constant for each dimer",
        citation=f"github.com/lab-cosmo/atomistic-cookbook, lode-linear (BSD-3); {_LODE_2021}",
        folder="bfdb_charged",
        files=("bfdb_charged.xyz.gz",),
        part_key="dimer_id",
    ),
    "side-chain-dimers": Entry(
        description="side-chain dimers of the BioFragment Database at their protein geometry",
        origin="third-party",
        level="DW-CCSD(T)-F12/aug-cc-pVDZ, counterpoise corrected",
        targets={"interaction_energy": "eV"},
        paper="2019: 661 charged ones; 2021: 2291 in six classes; each with a binding curve",
        structures=2589,
        caveat="one distance per dimer; which of them the papers kept is not known",
        citation="Burns et al., J. Chem. Phys. 147, 161727 (2017), doi:10.1063/1.5001028",
        folder="bfdb_ssi",
        files=("bfdb_ssi.xyz.gz",),
        part_key="label",
    ),
    "noncovalent-curves": Entry(
        description="dissociation curves of the Non-Covalent Interactions Atlas, H C N O",
        origin="third-party",
        level="CCSD(T)/CBS, monomers frozen",
        targets={"interaction_energy": "eV"},
        paper="none: an independent check of the classes CP CA PP PA AA",
        structures=4970,
        caveat="80 % of the systems of each set; no pairs of two charged molecules",
        citation="Řezáč, doi:10.1021/acs.jctc.9b01265; Kříž et al., doi:10.1021/acs.jctc.0c01341; "
        "Řezáč, doi:10.1039/D2CP01602H",
        folder="ncia",
        files=("IHB100x10.xyz.gz", "HB375x10.xyz.gz", "D442x10.xyz.gz", "R739x5.xyz.gz"),
        part_key="label",
    ),
    "sapt10k": Entry(
        description="dimers of many known sets, their energies and what these consist of",
        origin="third-party",
        level="CCSD(T)/CBS or near it; symmetry-adapted perturbation theory",
        targets={
            key: "eV"
            for key in (
                "interaction_energy",
                "electrostatics",
                "exchange",
                "induction",
                "dispersion",
            )
        },
        paper="none: the same questions, with eight elements",
        structures=6822,
        caveat="points of one curve share `system`; the parts do not add up to the energy exactly",
        citation="Schriber et al., doi:10.1063/5.0204064",
        folder="sapt10k",
        files=("sapt10k.xyz.gz",),
        part_key="label",
    ),
    "water-monomer": Entry(
        description="dipoles and polarizabilities of 1000 water molecules",
        origin="third-party",
        level="coupled clusters, see the source",
        targets={"mu": "a.u.", "alpha": "a.u.", "beta": "a.u."},
        paper="none: tensors of the same group's earlier work",
        structures=1000,
        caveat="orientations are not random",
        citation=_TENSORS_2018.format("water_*"),
        folder="water_clusters",
        files=("water_monomer.xyz.gz",),
    ),
    "water-dimer": Entry(
        description="dipoles and polarizabilities of 1000 pairs of water molecules",
        origin="third-party",
        level="coupled clusters, see the source",
        targets={"mu": "a.u.", "alpha": "a.u."},
        paper="none: tensors of the same group's earlier work",
        structures=1000,
        caveat="orientations are not random",
        citation=_TENSORS_2018.format("water_*"),
        folder="water_clusters",
        files=("water_dimer.xyz.gz",),
    ),
    "water-zundel": Entry(
        description="dipoles and polarizabilities of 1000 Zundel cations",
        origin="third-party",
        level="coupled clusters, see the source",
        targets={"mu": "a.u.", "alpha": "a.u."},
        paper="none: tensors of the same group's earlier work",
        structures=1000,
        caveat="orientations are not random; the dipole is about the centre of mass",
        citation=_TENSORS_2018.format("water_*"),
        folder="water_clusters",
        files=("water_zundel.xyz.gz",),
    ),
    "qm7x-chno": Entry(
        description="polarizabilities of 100 small molecules of H C N O",
        origin="third-party",
        level="PBE0 + MBD",
        targets={"alpha": "bohr^3"},
        paper="none",
        structures=100,
        citation="Hoja et al., Sci. Data 8, 43 (2021), doi:10.1038/s41597-021-00812-2",
        folder="qm7x_polarizability",
        files=("qm7x_chno.xyz",),
    ),
    "qm7x-chns": Entry(
        description="polarizabilities of 100 small molecules of H C N S",
        origin="third-party",
        level="PBE0 + MBD",
        targets={"alpha": "bohr^3"},
        paper="none",
        structures=100,
        citation="Hoja et al., Sci. Data 8, 43 (2021), doi:10.1038/s41597-021-00812-2",
        folder="qm7x_polarizability",
        files=("qm7x_chns.xyz",),
    ),
    "dipeptides": Entry(
        description="dipole moments of polar dipeptides of 42 to 51 atoms",
        origin="third-party",
        level="wB97M-D3(BJ)/def2-TZVPPD",
        targets={"mu": "e Å"},
        paper="none",
        structures=550,
        caveat="split as in the source: parts 'train' (495) and 'val' (55)",
        citation="SPICE, Eastman et al., Sci. Data 10, 11 (2023), doi:10.1038/s41597-022-01882-6; "
        "github.com/BingqingCheng/cace-lr-fit (CC BY-NC 4.0)",
        folder="dipeptides",
        files=("train.xyz.gz", "val.xyz.gz"),
    ),
}

_ARCHIVE: dict[str, Entry] = {
    "dimers-2021": Entry(
        description="the dimers of the 2021 paper, from Materials Cloud Archive es3jr-dse56",
        origin="fetched from an archive",
        fetch="multilode_papers.datasets.download:fetch_record",
        read="multilode_papers.datasets.archive:read_dimers",
        level="PBE0 + Tkatchenko-Scheffler (FHI-aims)",
        targets={"interaction_energy": "eV"},
        paper="2021, Table 1: this is its set, 2291 dimers at 13 distances",
        caveat="NOT RUN on the real files: download and reader follow what the record's page and "
        "the paper say, and are tested on files of the same form only",
        citation=_LODE_2021,
        part_key="label",
    ),
}

COLLECTION = Collection(
    package="multilode-papers",
    entries=_MADE | _THIRD_PARTY | _ARCHIVE,
    shipped=Path(__file__).parent / "shipped",
)
