// Compiles shaders with a browser's WebGPU. Reads a list of {name, text, overrides} as JSON; prints a line for each
// failure and one with the count. Ends with 3 where something it needs is not there.
const http = require('http');

function missing(what) {
  console.log(what);
  process.exit(3);
}

let chromium;
try {
  ({ chromium } = require('playwright-core'));
} catch {
  missing('playwright-core is not installed (npm install playwright-core, and NODE_PATH to its node_modules)');
}

function chromiumPath() {
  const { execFileSync } = require('child_process');
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      return execFileSync('which', [name]).toString().trim();
    } catch {}
  }
  return missing('no chromium on PATH');
}

// Runs in the page.
async function compileAll(shaders) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return { adapter: null };
  const most = adapter.limits.maxStorageBuffersPerShaderStage;
  const device = await adapter.requestDevice({ requiredLimits: { maxStorageBuffersPerShaderStage: most } });
  const failures = [];
  let pipelines = 0;
  for (const { name, text, overrides } of shaders) {
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code: text });
    const { messages } = await module.getCompilationInfo();
    const errors = messages.filter((m) => m.type === 'error');
    await device.popErrorScope();
    if (errors.length) {
      failures.push(`${name}: ${errors.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join('; ')}`);
      continue;
    }
    const buffers = (text.match(/var<storage/g) || []).length;
    const entry = /@compute[^]*?fn\s+(\w+)/.exec(text);
    // A kernel that binds more than this adapter does is made for others.
    if (!entry || buffers > most) continue;
    try {
      await device.createComputePipelineAsync({
        layout: 'auto',
        compute: { module, entryPoint: entry[1], constants: overrides },
      });
      pipelines += 1;
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
    }
  }
  const { vendor, architecture, description } = adapter.info;
  return { adapter: [vendor, architecture, description].filter(Boolean).join(' '), failures, pipelines };
}

async function main() {
  let input = '';
  for await (const part of process.stdin) input += part;
  const shaders = JSON.parse(input);
  const executablePath = chromiumPath();
  // WebGPU exists on secure origins only; localhost is one.
  const server = http.createServer((_, answer) => answer.end('<!doctype html>')).listen(0, '127.0.0.1');
  await new Promise((ready) => server.once('listening', ready));
  const args = ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
  const browser = await chromium.launch({ executablePath, args });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const found = await page.evaluate(compileAll, shaders);
    if (found.adapter === null) missing('the browser shows no WebGPU adapter');
    for (const failure of found.failures) console.log('FAILED ' + failure.replaceAll('\n', '\u0001'));
    const passed = shaders.length - found.failures.length;
    console.log(`Tint     ${String(passed).padStart(5)}, ${found.pipelines} of them as pipelines (${found.adapter})`);
  } finally {
    await browser.close();
    server.close();
  }
}

main().catch((error) => {
  console.log(String(error));
  process.exit(1);
});
