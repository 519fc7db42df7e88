"""Plots and the HTML pages."""

from cfray.report.gallery import GallerySet, GalleryVariant
from cfray.report.page import render_report
from cfray.report.summary import reduction_above_floor

__all__ = ["GallerySet", "GalleryVariant", "reduction_above_floor", "render_report"]
