#!/bin/bash
# We are root.
exec "$@"
