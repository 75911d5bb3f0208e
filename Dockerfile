# Signalbox: one image for API, worker and runner; which of them it is says the command.
FROM node:22-bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends git ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY . .
RUN npm ci && npm prune --omit=dev

FROM node:22-bookworm-slim
# git reads the targets' repositories. A target whose data is in PostgreSQL needs client tools of its server's version.
RUN apt-get update \
 && apt-get install -y --no-install-recommends git ca-certificates tini postgresql-client \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o node -g node /var/lib/signalbox
COPY --from=build /app/package.json /app/
COPY --from=build /app/node_modules /app/node_modules
COPY --from=build /app/cli/bin.js /app/cli/bin.js
COPY --from=build /app/dist /app/dist
USER 1000
WORKDIR /var/lib/signalbox
ENTRYPOINT ["tini", "--", "node", "/app/cli/bin.js"]
CMD ["--help"]
