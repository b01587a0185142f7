"""Train the wave segmenter that ``cardiomesh.ecg.delineation`` runs, on LUDB."""
