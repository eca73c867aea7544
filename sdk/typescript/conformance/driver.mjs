// What the runner of the conformance suite starts: see tests/conformance/DRIVER.md. `npm run build` puts the rest into `build`.

/** @param {string} file */
const built = (file) => import(new URL(`../build/conformance/${file}`, import.meta.url).href);

const defect = process.env["CALLBOARD_DEFECT"];
if (defect === undefined || defect === "") {
  const { main } = await built("main.js");
  await main();
} else {
  const { isDefect, plant } = await built("defects.js");
  if (!isDefect(defect)) {
    console.error(`CALLBOARD_DEFECT: there is no defect ${defect}`);
    process.exit(64);
  }
  const { main } = await import(plant(defect).href);
  await main();
}
