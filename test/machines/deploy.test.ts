import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";

const deploy = fileURLToPath(new URL("../../deploy", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clp-dd-deploy-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: Record<string, never>;
}
const manifests = (name: string) =>
  parseAllDocuments(readFileSync(join(deploy, "kubernetes", name), "utf8")).map((d) => d.toJS() as Manifest);

describe("the files for Kubernetes", () => {
  it("name each other: the job, the server that it joins, and the secret of both", () => {
    const [kustomization] = manifests("kustomization.yaml") as unknown as [
      { resources: string[]; secretGenerator: { name: string }[] },
    ];
    const all = kustomization.resources.flatMap(manifests);
    expect(all.map(({ kind }) => kind).sort()).toEqual(["Job", "Service", "StatefulSet"]);
    const job = JSON.stringify(all.find(({ kind }) => kind === "Job"));
    const service = all.find(({ kind }) => kind === "Service")!;
    expect(job).toContain(`redis://${service.metadata.name}:6379/`);
    const secret = kustomization.secretGenerator[0].name;
    for (const { kind, spec } of all)
      if (kind !== "Service")
        expect(JSON.stringify(spec)).toContain(`"secretKeyRef":{"name":"${secret}","key":"password"}`);
  });

  it("let a worker's failure and an eviction leave the others alone", () => {
    const [{ spec }] = manifests("distill.yaml");
    expect(spec).toMatchObject({
      completionMode: "Indexed",
      backoffLimitPerIndex: 3,
      completions: 8,
      parallelism: 8,
    });
    expect(JSON.stringify(spec)).toContain('"action":"Ignore","onPodConditions":[{"type":"DisruptionTarget"');
    expect(JSON.stringify(manifests("redis.yaml"))).toContain("--maxmemory-policy noeviction");
  });
});

describe("the script for Slurm", () => {
  /** Runs the script with `srun` replaced by one that notes what it is asked to run. */
  function submit(args: readonly string[], clpddCode: number) {
    const bin = mkdtempSync(join(folder, "bin-"));
    const log = join(bin, "log");
    const program = (name: string, text: string) => {
      writeFileSync(join(bin, name), `#!/bin/bash\n${text}\n`);
      chmodSync(join(bin, name), 0o755);
    };
    program(
      "srun",
      [`printf '%s\\n' "$*" >> ${log}`, "while [[ $1 == --* ]]; do shift; done", 'exec "$@"'].join("\n"),
    );
    program("redis-server", `trap 'kill %1; exit 0' TERM; cat "$1" >> ${log}; sleep 60 & wait`);
    // A worker needs the server: it ends only after the server has read its settings, however late that starts.
    program(
      "clp-dd",
      [
        `until grep -q maxmemory-policy ${log}; do sleep 0.05; done`,
        `echo "password \${#CLP_DD_REDIS_PASSWORD}" >> ${log}; exit ${clpddCode}`,
      ].join("\n"),
    );
    const result = spawnSync("bash", [join(deploy, "slurm/distill.sbatch"), ...args], {
      encoding: "utf8",
      env: {
        ...process.env,
        PATH: `${bin}:${process.env.PATH}`,
        SLURM_JOB_ID: "41",
        SLURM_NTASKS: "8",
        SLURM_CPUS_PER_TASK: "4",
      },
    });
    return { ...result, log: readFileSync(log, { encoding: "utf8", flag: "a+" }) };
  }

  it("starts a server as a step and the workers beside it, with a password that no command line shows", () => {
    mkdirSync(join(folder, "shared"));
    const { status, log, stderr } = submit(["photos", join(folder, "shared/d1"), "--ipc", "10"], 0);
    expect(status, stderr).toBe(0);
    const [, workers] = /^(--ntasks=8 .*)$/m.exec(log)!;
    expect(workers).toMatch(
      /clp-dd distill photos --out \S+\/shared\/d1 .*--join redis:\/\/[^@\s]+:20041\/d1 --threads 4 --resume --quiet --ipc 10$/,
    );
    expect(log).toMatch(/--nodes=1 --ntasks=1 .*redis-server/);
    const [, password] = /^requirepass (\S+)$/m.exec(log)!;
    expect(log).toContain(`password ${password.length}`);
    expect(log.split("\n").filter((line) => line.includes(password))).toEqual([`requirepass ${password}`]);
    expect(log).toContain("maxmemory-policy noeviction");
  });

  it("ends with the workers' exit code, and with usage where arguments are missing", () => {
    expect(submit(["photos", join(folder, "shared/d2")], 3).status).toBe(3);
    const missing = submit(["photos"], 0);
    expect(missing.status).toBe(2);
    expect(missing.stderr).toContain("usage: sbatch distill.sbatch DATA OUT");
  });
});
