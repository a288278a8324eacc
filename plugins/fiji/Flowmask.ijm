// Segments the active image with Flowmask: outlines go to the ROI Manager, measurements to a table.
//
// Install: put this file into the folder plugins/ of Fiji (or macros/ of ImageJ) and restart, then Plugins > Flowmask.
// It needs the command flowmask: pip install . in a checkout. If Fiji does not find it, give its full path.
// Without a dialog: runMacro("Flowmask.ijm", command + "|" + network + "|" + diameter).

if (nImages == 0) exit("Open an image first.");
if (getArgument() == "") {
    Dialog.create("Flowmask");
    Dialog.addString("Command", call("ij.Prefs.get", "flowmask.command", "flowmask"), 40);
    Dialog.addString("Network", "small", 40);
    Dialog.addNumber("Cell diameter in px (0: estimate)", 0);
    Dialog.show();
    command = Dialog.getString();
    network = Dialog.getString();
    diameter = Dialog.getNumber();
    call("ij.Prefs.set", "flowmask.command", command);
} else {
    values = split(getArgument(), "|");
    command = values[0];
    network = values[1];
    diameter = parseFloat(values[2]);
}

folder = getDirectory("temp") + "flowmask-" + d2s(getTime(), 0) + File.separator;
File.makeDirectory(folder);
original = getImageID();
setBatchMode(true);
run("Duplicate...", "title=image duplicate");
saveAs("Tiff", folder + "image.tif");
close();
setBatchMode(false);
selectImage(original);

showStatus("Flowmask is running ...");
if (diameter > 0)
    said = exec(command, "segment", folder + "image.tif", "-o", folder, "--save", "labels,rois,table",
        "--model", network, "--diameter", d2s(diameter, 2));
else
    said = exec(command, "segment", folder + "image.tif", "-o", folder, "--save", "labels,rois,table",
        "--model", network);
if (!File.exists(folder + "image_rois.zip")) exit("Flowmask made no outlines.\n" + said);

roiManager("reset");
roiManager("Open", folder + "image_rois.zip");
roiManager("Show All without labels");
open(folder + "image_cells.csv");
showStatus("Flowmask: " + roiManager("count") + " cells");
