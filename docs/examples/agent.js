// A deploy agent in Node.js: runs one release command for APP ENV IMAGE, follows it, reports what became of the
// deployment, and ends as it ended.
//   npm install @grpc/grpc-js @grpc/proto-loader
//   node docs/examples/agent.js shop live shop:1        (from the root of the repository)
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync("releasephase/v1/release_service.proto", {
  includeDirs: ["proto"], keepCase: true, enums: String, longs: String, oneofs: true,
});
const { ReleaseService } = grpc.loadPackageDefinition(definition).releasephase.v1;
const socket = process.env.RELEASED_SOCKET || "/run/released/released.sock";
const client = new ReleaseService(`unix:${socket}`, grpc.credentials.createInsecure());

const [application, environment, image] = process.argv.slice(2);
const commands = [{ label: "database migrations", line: "echo migrating" }];

// Until the release is known to have succeeded, the deployment must not go on.
process.exitCode = 1;
const fail = (error) => {
  console.error(error.message);
  client.close();
};

client.StartRelease({ application, environment, image, commands }, (error, release) => {
  if (error) return fail(error);
  const watch = client.WatchRelease({ name: release.name });
  watch.on("data", (event) => {
    if (event.payload === "command_output") process.stdout.write(event.command_output.data);
    if (event.payload !== "state_changed") return;
    console.error(event.state_changed.state);
    if (event.state_changed.failure) console.error(event.state_changed.failure.message);
    if (event.state_changed.state === "STATE_SUCCEEDED") process.exitCode = 0;
  });
  watch.on("error", fail);
  watch.on("end", () => {
    // Here the agent would switch to the new version, or leave the old one live. Then it says which it was.
    const outcome = process.exitCode === 0 ? "OUTCOME_DEPLOYED" : "OUTCOME_ABANDONED";
    client.ReportOutcome({ name: release.name, outcome }, (error) => error ? fail(error) : client.close());
  });
});
