# JupyterLab with the notebooks, as a user who is not root.
#   docker build --tag course .
#   docker run --rm --publish 8888:8888 course        # prints the address to open, with its token
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 student && install --directory --owner=student --group=student /course
USER 1000
WORKDIR /course
ENV PATH=/course/.venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# What `make install` does, in two steps: the packages stay built when only the course changes.
COPY --chown=student requirements.txt ./
RUN python -m venv .venv && python -m pip install --requirement requirements.txt
COPY --chown=student . .
RUN python -m pip install --no-deps --editable .

EXPOSE 8888
CMD ["jupyter", "lab", "notebooks", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
