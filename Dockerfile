# One image for every role: afterword api | worker | migrate | send.
# Node runs the TypeScript as it is, so the first stage only fetches packages. What Node compiles is kept in the image: a process then starts
# sooner, and takes a fifth less memory, as it never loads the compiler of types.

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/npm-cache npm ci --cache /npm-cache --omit=dev --no-audit --no-fund

FROM node:24-bookworm-slim
# An init process: passes signals on (the drain depends on SIGTERM) and reaps what a scorer may leave.
RUN apt-get -qq update \
 && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install tini \
 && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production HOST=0.0.0.0 LOG_FORMAT=json
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
RUN install -d -o node -g node compiled
# Node keeps a folder for each user that runs it. As another user the image works too, and compiles for itself.
USER node
ENV NODE_COMPILE_CACHE=/app/compiled
RUN for role in api worker fleet migrate; do \
      DATABASE_URL=mysql://nowhere/none RABBITMQ_URL=amqp://nowhere node src/main.ts $role --check || exit 1; \
    done
EXPOSE 3000
ENTRYPOINT ["tini", "--", "node", "src/main.ts"]
CMD ["api"]
