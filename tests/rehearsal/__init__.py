"""What a dress rehearsal is played with: data, models and servers, small."""
