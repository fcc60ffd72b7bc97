"""Results for eyes and ears: pictures, and clicks over the song."""
